"""A model's verbs: each is the family's, with settings, seed, device and precision; writing beyond the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from core.batches import Batch
from core.errors import FourfoldError, Unsupported
from core.families import (
    AutoregressiveConfig,
    DiffusionConfig,
    FamilyConfig,
    FlowMatching,
    GANConfig,
    Masking,
    SampleSettings,
    VAEConfig,
)
from core.families.vae import VAE
from core.networks import MLPConfig, TransformerConfig
from core.quantizers import UniformBins
from core.runs.codec import Codec
from core.runs.model import Model
from core.runs.recipe import Recipe
from core.runs.tasks import Progress, Stopped
from core.spaces import Continuous, Discrete, Space
from core.training.config import TrainConfig

WINDOW = 8
TINY = TransformerConfig(width=16, depth=1, heads=2)
SMALL = MLPConfig(width=16, depth=1)


@dataclass(frozen=True, kw_only=True)
class Plain(Codec[list[float]]):
    """Rows of numbers."""

    tokens: bool = True
    ends: bool = False

    @property
    def space(self) -> Space:
        if not self.tokens:
            return Continuous(shape=(3,))
        histogram = (0.1,) * 4 + (0.15,) * 4
        return Discrete(length=WINDOW, vocab=5, eos=4, length_histogram=histogram) if self.ends else (
            Discrete(length=WINDOW, vocab=5))

    def encode(self, items: Sequence[list[float]]) -> Batch:
        return Batch(torch.tensor(items))

    def decode(self, batch: Batch) -> list[list[float]]:
        if batch.mask is None:
            return batch.x.tolist()
        return [row[kept].tolist() for row, kept in zip(batch.x, batch.mask, strict=True)]


def model(family: FamilyConfig, codec: Plain, precision: str = "float32") -> Model[None, Plain, list[float]]:
    """Untrained, with weights that say something."""
    torch.manual_seed(0)
    built = family.build(codec.space, {}).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    train = TrainConfig(precision="bfloat16" if precision == "bfloat16" else "float32")
    recipe = Recipe(name="plain", domain="test", data=None, family=family, train=train)
    return Model(recipe=recipe, codec=codec, family=built, device=torch.device("cpu"))


AUTOREGRESSIVE, MASKED = AutoregressiveConfig(model=TINY), DiffusionConfig(denoiser=TINY, process=Masking())
SEQUENCE_VAE = VAEConfig(encoder=TINY, decoder=TINY, latent=4)
LATENT_GAN = GANConfig(generator=SMALL, critic=SMALL, latent=4, autoencoder=SEQUENCE_VAE)


@pytest.mark.parametrize("family", [AUTOREGRESSIVE, MASKED], ids=["autoregressive", "diffusion"])
def test_write_on_goes_beyond_the_window_and_keeps_what_was_written(family: FamilyConfig) -> None:
    writer, prefix = model(family, Plain()), torch.tensor([[1, 2, 3], [3, 2, 1]])
    tokens = writer.write_on(prefix, 30, seed=1)
    assert tokens.shape == (2, 30) and tokens[:, :3].equal(prefix) and tokens.min() >= 0 and tokens.max() < 5
    assert tokens.equal(writer.write_on(prefix, 30, seed=1)) and not tokens.equal(writer.write_on(prefix, 30, seed=2))
    assert writer.write_on(prefix, 5, seed=1).shape == (2, 5)
    assert writer.write_on(prefix, 3).equal(prefix)
    # A window after the first sees the overlap only: what lies before it does not change what follows.
    other = torch.cat([torch.tensor([[4, 4]]), torch.tensor([[1, 2, 3, 1, 2, 3]])], dim=1)
    same = torch.cat([torch.tensor([[0, 0]]), torch.tensor([[1, 2, 3, 1, 2, 3]])], dim=1)
    first, second = (writer.write_on(start, 14, overlap=6, seed=3)[:, 8:] for start in (other, same))
    assert first.equal(second)


def test_whoever_watches_sees_every_token_and_may_stop() -> None:
    writer, seen = model(AUTOREGRESSIVE, Plain()), []

    def watch(drawn: Tensor) -> bool:
        seen.append(drawn.clone())
        return len(seen) == 11

    tokens = writer.write_on(torch.zeros((2, 1), dtype=torch.int64), 40, watch=watch)
    assert tokens.shape == (2, 12) and tokens[:, 1:].equal(torch.stack(seen, dim=1))
    with pytest.raises(Unsupported, match="stop"):
        model(MASKED, Plain()).write_on(tokens, 40, watch=watch)


@pytest.mark.parametrize("family", [AUTOREGRESSIVE, MASKED], ids=["autoregressive", "diffusion"])
def test_a_length_bounds_sequences_that_end(family: FamilyConfig) -> None:
    prefix = torch.tensor([[1, 2]] * 50)
    drawn = model(family, Plain(ends=True)).continue_prefix(prefix, length=5, seed=0)
    assert drawn.mask is not None and drawn.x[:, :2].equal(prefix)
    ends = torch.where((drawn.x == 4).any(1), (drawn.x == 4).int().argmax(1), drawn.x.shape[1])
    assert ends.max() <= 5


def test_verbs_a_family_lacks_say_so() -> None:
    prefix = torch.tensor([[1]])
    family: FamilyConfig
    for family, codec in ((SEQUENCE_VAE, Plain()), (LATENT_GAN, Plain())):
        with pytest.raises(Unsupported, match="continues no prefix"):
            model(family, codec).continue_prefix(prefix)
    for family in (AUTOREGRESSIVE, MASKED):
        with pytest.raises(Unsupported, match="latents"):
            model(family, Plain()).interpolate(Batch(torch.zeros((2, WINDOW), dtype=torch.int64)), 3)
    with pytest.raises(Unsupported, match="fill"):
        model(AUTOREGRESSIVE, Plain()).fill(torch.tensor([[-1] * WINDOW]))
    with pytest.raises(Unsupported, match="no model of tokens"):
        model(DiffusionConfig(denoiser=SMALL), Plain(tokens=False)).write_on(prefix, 3)


def test_a_latent_gan_hands_its_latents_to_its_autoencoder() -> None:
    gan = model(LATENT_GAN, Plain())
    x = torch.randint(5, (4, WINDOW))
    latents = gan.encode(Batch(x))
    autoencoder = gan.family.get_submodule("autoencoder")
    assert isinstance(autoencoder, VAE)
    assert latents.equal(autoencoder.encode(Batch(x)))
    made = gan.reconstruct(Batch(x), top_k=1)
    assert made.x.equal(gan.decode(latents, top_k=1).x)
    steps = gan.interpolate(Batch(x[:2]), 5, top_k=1).x
    assert steps[0].equal(made.x[0]) and steps[-1].equal(made.x[1]), "the ends are the reconstructions"


def test_interpolation_between_samples_and_variations() -> None:
    painter = model(DiffusionConfig(denoiser=SMALL, process=FlowMatching()), Plain(tokens=False))
    path = painter.interpolate(None, 5, seed=1).x
    assert path.shape == (5, 3) and path.equal(painter.interpolate(None, 5, seed=1).x)
    x = torch.randn(6, 3)
    near, far = (painter.vary(x, strength, seed=2).x.sub(x).abs().mean() for strength in (0.1, 1.0))
    assert near < far
    with pytest.raises(FourfoldError, match="strength"):
        painter.vary(x, 1.5)
    with pytest.raises(FourfoldError, match="two"):
        painter.interpolate(Batch(x), 5)


@pytest.mark.parametrize(("family", "codec", "half"), [
    (AUTOREGRESSIVE, Plain(), True), (MASKED, Plain(), True), (SEQUENCE_VAE, Plain(), True),
    (DiffusionConfig(denoiser=SMALL), Plain(tokens=False), True),
    (AutoregressiveConfig(model=TINY, quantizer=UniformBins(bins=5)), Plain(tokens=False), True),
    (GANConfig(generator=SMALL, critic=SMALL), Plain(tokens=False), False),
    (VAEConfig(encoder=SMALL, decoder=SMALL, latent=2), Plain(tokens=False), False),
])
def test_half_precision_where_training_was_in_it_and_drawing_takes_passes(
    family: FamilyConfig, codec: Plain, half: bool
) -> None:
    """A wrapped autoregressive model too."""
    settings = SampleSettings()
    for precision, expected in (("bfloat16", half), ("float32", False)):
        with model(family, codec, precision).precision(settings):
            assert torch.is_autocast_enabled("cpu") == expected


def test_batches_tell_how_far_they_are_and_stop_when_asked() -> None:
    seen: list[tuple[int, int]] = []
    drawn = model(DiffusionConfig(denoiser=SMALL), Plain(tokens=False))
    drawn.sample(10, batch_size=4, progress=Progress(on_step=lambda done, total: seen.append((done, total))))
    assert seen == [(4, 10), (8, 10), (10, 10)]
    stopping = Progress(on_step=lambda done, total: setattr(stopping, "stopped", True))
    with pytest.raises(Stopped):
        drawn.sample(10, batch_size=4, progress=stopping)


@pytest.mark.parametrize(("family", "codec"), [
    (AUTOREGRESSIVE, Plain()), (AUTOREGRESSIVE, Plain(ends=True)), (MASKED, Plain()), (MASKED, Plain(ends=True)),
    (SEQUENCE_VAE, Plain()), (LATENT_GAN, Plain(ends=True)),
    (DiffusionConfig(denoiser=SMALL), Plain(tokens=False)),
    (AutoregressiveConfig(model=TINY, quantizer=UniformBins(bins=5)), Plain(tokens=False)),
    (GANConfig(generator=SMALL, critic=SMALL), Plain(tokens=False)),
    (VAEConfig(encoder=SMALL, decoder=SMALL, latent=2, output="draw"), Plain(tokens=False)),
])
def test_noise_belongs_to_the_row(family: FamilyConfig, codec: Plain) -> None:
    """The first samples are the same for every number of samples and every batch size, with any sampler."""
    drawn = model(family, codec)
    settings: list[dict[str, Any]] = [{}]
    if "solver" in drawn.family.options:
        settings.append({"solver": "ancestral", "num_steps": 5})
    if codec.tokens and "num_steps" in drawn.family.options:
        settings.append({"num_steps": 3})
    for changes in settings:
        whole = codec.decode(drawn.sample_batch(12, seed=7, **changes))
        for n, size in ((5, 256), (12, 5), (3, 1)):
            some = codec.decode(drawn.sample_batch(n, seed=7, batch_size=size, **changes))
            for a, b in zip(some, whole, strict=False):
                assert a == pytest.approx(b, abs=1e-4)
    assert drawn.sample(3, seed=2**63 - 1) == drawn.sample(3, seed=2**63 - 1)
    assert len({str(item) for item in drawn.sample(12, seed=7)}) >= 5, "rows differ"
