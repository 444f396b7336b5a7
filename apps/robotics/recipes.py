"""Named recipes. The tour's figures are of three seeds, 300 new episodes each (benchmarks/results/tour.json).

On the planar task regression with the same network, of at most 1,500 steps, succeeds in 6 to 14 % of the episodes and
random actions never. Meta-World's scripted experts do a thing in one way only: there regression does as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.robotics.baselines import RegressionConfig
from apps.robotics.model import RoboticsData
from apps.robotics.simulators import METAWORLD
from core.families import AutoregressiveConfig, ConditioningConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.family import SampleSettings
from core.likelihood import Gaussian
from core.networks import MLPConfig, TransformerConfig
from core.quantizers import UniformBins
from core.runs.recipe import Recipe
from core.training.config import TrainConfig

PLANAR = RoboticsData(task="planar", demonstrations=2000, noise=0.2, horizon=8, execute=6)
NETWORK = MLPConfig(width=128, depth=2)
ALWAYS = ConditioningConfig(dropout=0.0)  # a policy always has its observations


def _vae(latent: int, beta: float) -> VAEConfig:
    """A policy needs the prior's latents to decode well, not sharp reconstructions: hence beta and min_std."""
    return VAEConfig(encoder=NETWORK, decoder=NETWORK, latent=latent, likelihood=Gaussian(min_std=0.1), beta=beta,
                     conditioning=ALWAYS)


def tour_vae() -> Recipe[RoboticsData]:
    """Planar reaching by a conditional VAE: two latent numbers say which way. Success 0.90 to 0.92.

    `fourfold robotics train tour-vae`, 30 s on one core, measuring included.
    """
    return Recipe(
        name="tour-vae", domain="robotics", data=PLANAR, family=_vae(latent=2, beta=3.0),
        train=TrainConfig(steps=4500, batch_size=128, ema_decay=0.998),
    )


def tour_gan() -> Recipe[RoboticsData]:
    """Planar reaching by a conditional GAN. Success 0.89 to 0.91.

    `fourfold robotics train tour-gan`, 32 s on one core, measuring included.
    """
    return Recipe(
        name="tour-gan", domain="robotics", data=PLANAR,
        family=GANConfig(generator=NETWORK, critic=NETWORK, latent=16, gamma=0.1, conditioning=ALWAYS),
        train=TrainConfig(steps=2000, batch_size=128, learning_rate=3e-4, betas=(0.0, 0.99), ema_decay=0.995),
    )


def tour_diffusion() -> Recipe[RoboticsData]:
    """Planar reaching by flow matching, six Heun steps a decision. Success 0.92 to 0.98.

    `fourfold robotics train tour-diffusion`, 34 s on one core, measuring included.
    """
    return Recipe(
        name="tour-diffusion", domain="robotics", data=PLANAR,
        family=DiffusionConfig(denoiser=NETWORK, conditioning=ALWAYS),
        train=TrainConfig(steps=6500, batch_size=128, ema_decay=0.998),
        sample=SampleSettings(num_steps=6, solver="heun"),
    )


def tour_autoregressive() -> Recipe[RoboticsData]:
    """Planar reaching by a transformer over actions in 32 bins. Success 0.97 to 0.98.

    `fourfold robotics train tour-autoregressive`, 29 s on one core, measuring included.
    """
    return Recipe(
        name="tour-autoregressive", domain="robotics", data=PLANAR,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=64, depth=2, heads=2), quantizer=UniformBins(bins=32), conditioning=ALWAYS
        ),
        train=TrainConfig(steps=1800, batch_size=64, learning_rate=2e-3, ema_decay=0.995),
        sample=SampleSettings(top_p=0.95),
    )


PICK_PLACE = RoboticsData(task="pick-place-v3", demonstrations=200, noise=0.1, horizon=8, execute=4)
DRAWER_OPEN = RoboticsData(task="drawer-open-v3", demonstrations=200, noise=0.1, horizon=16, execute=12)


def pick_place_vae() -> Recipe[RoboticsData]:
    """Meta-World pick-place-v3 by a conditional VAE. 28 s; success in 48 of 48 episodes.

    `fourfold robotics train pick-place-vae`.
    """
    base = tour_vae()
    return replace(base, name="pick-place-vae", data=PICK_PLACE, family=_vae(latent=8, beta=1.0),
                   train=replace(base.train, steps=3000))


def pick_place_gan() -> Recipe[RoboticsData]:
    """Meta-World pick-place-v3 by a conditional GAN. 23 s; success in 46 of 48 episodes.

    `fourfold robotics train pick-place-gan`.
    """
    base = tour_gan()
    return replace(base, name="pick-place-gan", data=PICK_PLACE, train=replace(base.train, steps=1200))


def pick_place_diffusion() -> Recipe[RoboticsData]:
    """Meta-World pick-place-v3 by flow matching. 25 s; success in 200 of 200 episodes.

    `fourfold robotics train pick-place-diffusion`.
    """
    return replace(tour_diffusion(), name="pick-place-diffusion", data=PICK_PLACE)


def pick_place_autoregressive() -> Recipe[RoboticsData]:
    """Meta-World pick-place-v3 by a transformer over actions in 32 bins. 38 s; success in 48 of 48 episodes.

    `fourfold robotics train pick-place-autoregressive`.
    """
    base = tour_autoregressive()
    return replace(base, name="pick-place-autoregressive", data=PICK_PLACE, train=replace(base.train, steps=1200))


def drawer_open_diffusion() -> Recipe[RoboticsData]:
    """Meta-World drawer-open-v3 by flow matching, twelve actions a decision. 14 s; success in 48 of 48 episodes.

    `fourfold robotics train drawer-open-diffusion`.
    """
    base = tour_diffusion()
    return replace(base, name="drawer-open-diffusion", data=DRAWER_OPEN, train=replace(base.train, steps=3000))


def planar_regression() -> Recipe[RoboticsData]:
    """Planar reaching by regression with the network of tour-diffusion: the mean of two ways is none.

    `fourfold robotics train planar-regression`.
    """
    return replace(tour_diffusion(), name="planar-regression", family=RegressionConfig(network=NETWORK),
                   sample=SampleSettings(), train=TrainConfig(steps=1500, batch_size=128, ema_decay=0.998))


def planar_mip() -> Recipe[RoboticsData]:
    """Planar reaching by two-step regression (MIP, 2512.01809) with the network of tour-diffusion.

    `fourfold robotics train planar-mip`.
    """
    return replace(planar_regression(), name="planar-mip", family=RegressionConfig(network=NETWORK, refine=0.9))


WIDE = MLPConfig(width=256, depth=3)
MANIPULATION = RoboticsData(task="assembly-v3", demonstrations=100, noise=0.1, history=1, horizon=16, execute=8)


def _methods() -> dict[str, Recipe[RoboticsData]]:
    """How any of Meta-World's tasks is learned, by method."""
    still = SampleSettings()
    tuned = replace(tour_diffusion(), data=MANIPULATION)
    return {
        "vae": replace(tour_vae(), family=VAEConfig(
            encoder=WIDE, decoder=WIDE, latent=8, likelihood=Gaussian(min_std=0.1), conditioning=ALWAYS)),
        "gan": replace(tour_gan(), family=GANConfig(
            generator=WIDE, critic=WIDE, latent=16, gamma=0.1, conditioning=ALWAYS)),
        "diffusion": replace(tuned, family=DiffusionConfig(denoiser=WIDE, conditioning=ALWAYS)),
        "autoregressive": replace(tour_autoregressive(), family=AutoregressiveConfig(
            model=TransformerConfig(width=96, depth=3, heads=2), quantizer=UniformBins(bins=64), conditioning=ALWAYS)),
        "regression": replace(tuned, family=RegressionConfig(network=WIDE), sample=still),
        "mip": replace(tuned, family=RegressionConfig(network=WIDE, refine=0.9), sample=still),
    }


METHODS = ("vae", "gan", "diffusion", "autoregressive", "regression", "mip")
Make = Callable[[], Recipe[RoboticsData]]


class Recipes(dict[str, Make]):
    """Named recipes; and, without being listed, one for each of Meta-World's tasks by each of `METHODS`:
    "assembly-v3-diffusion"."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and _task_and_method(name) is not None)

    def __missing__(self, name: str) -> Make:
        found = _task_and_method(name)
        if found is None:
            raise KeyError(name)
        task, method = found

        def make() -> Recipe[RoboticsData]:
            recipe = _methods()[method]
            return replace(recipe, name=name, data=replace(MANIPULATION, task=task))

        make.__doc__ = f"Meta-World {task} by {method}."
        return make


def _task_and_method(name: str) -> tuple[str, str] | None:
    task, _, method = name.rpartition("-")
    return (task, method) if task in METAWORLD and method in METHODS else None


RECIPES = Recipes({
    make.__name__.replace("_", "-"): make for make in (
        tour_vae, tour_gan, tour_diffusion, tour_autoregressive, pick_place_vae, pick_place_gan, pick_place_diffusion,
        pick_place_autoregressive, drawer_open_diffusion, planar_regression, planar_mip,
    )
})
