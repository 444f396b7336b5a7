"""Images through the command line, on a user's own: a folder with captions -> train -> sample, evaluate, every task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import succeed
from PIL import Image

from apps import image
from apps.image.cli import app

NETWORK = '{"kind": "MLPConfig", "width": 64, "depth": 1}'
COLOURS = {"red": (230, 20, 20), "blue": (20, 20, 230)}
Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow  # three trainings of about ten seconds


def bar(side: str, colour: str, rng: np.random.Generator) -> np.ndarray:
    """A picture of 8x8: an upright bar in one of its halves, on dark ground."""
    pixels = rng.integers(0, 30, (8, 8, 3), dtype=np.uint8)
    place = int(rng.integers(0, 2)) + (5 if side == "right" else 0)
    pixels[:, place : place + 2] = COLOURS[colour]
    return pixels


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 bars: the sides are classes, the colours are in captions."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    rows = ["file,caption"]
    for index in range(400):
        side, colour = ("left", "right")[index % 2], ("red", "blue")[index // 2 % 2]
        (folder / side).mkdir(exist_ok=True)
        Image.fromarray(bar(side, colour, rng)).save(folder / side / f"{index}.png")
        rows.append(f'{side}/{index}.png,"Bar, {colour}"')
    (folder / "captions.csv").write_text("\n".join(rows))
    return folder


def train(recipe: str, run: Path, photos: Path, *settings: str) -> Path:
    words = ["data.size=8", "train.batch_size=32", "train.optimizer=adamw", "train.checkpoint_every=1000", *settings]
    succeed(app, "train", recipe, "--data", photos, "--run", run, *[w for word in words for w in ("--set", word)])
    return run


@pytest.fixture(scope="module")
def maker(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusion model of the bars, by class and by caption."""
    return train("folder-diffusion", tmp_path_factory.mktemp("runs") / "maker", photos, "data.by_class=true",
                 "data.by_caption=true", "family.denoiser.width=32", "family.likelihood_steps=16", "train.steps=400")


@pytest.fixture(scope="module")
def enhancer(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that restores bars."""
    return train("folder-enhance", tmp_path_factory.mktemp("runs") / "enhancer", photos, "family.denoiser.width=32",
                 "train.steps=400")


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture, dtype=float)


def error(made: np.ndarray, real: np.ndarray) -> float:
    return float(np.square(made.astype(float) - real).mean())


def is_of(pixels: np.ndarray, side: str, colour: str) -> bool:
    """Whether the brighter half is `side`, and red or blue is the stronger there as `colour` says."""
    left, right = pixels[:, :3].mean((0, 1)), pixels[:, 5:].mean((0, 1))
    half = left if side == "left" else right
    return bool(half.sum() == max(left.sum(), right.sum()) and (half[0] > half[2]) == (colour == "red"))


def test_pictures_of_ones_own_are_made_as_asked_for(maker: Path, tmp_path: Path, cli: Cli) -> None:
    succeed(app, "sample", maker, "-n", 20, "--class", "left", "--prompt", "blue bar", "--guidance", 2, "-o", tmp_path)
    made = [read(path) for path in sorted(tmp_path.glob("0*.png"))]
    assert len(made) == 20 and read(tmp_path / "grid.png").shape[2] == 3
    assert sum(is_of(pixels, "left", "blue") for pixels in made) >= 15  # by chance 5
    code, out, _ = cli("evaluate", maker, "-n", 60, "--json")
    found = {measure["name"]: measure for measure in json.loads(out)}
    assert code == 0 and list(found)[0] == "fd_folder_cnn" and found["fd_folder_cnn"]["beats_baseline"]
    assert found["class_accuracy"]["value"] > 0.85 and found["near_copies_of_training"]["value"] < 0.5
    assert found["bits_per_dim"]["kind"] == "bound" and found["bits_per_dim"]["value"] < 7  # of 8

    model = image.load(maker)
    assert model.codec.class_names == ("left", "right") and model.codec.words == ("bar", "blue", "red")
    asked = model.codec.parse_conditions({"class": "right", "prompt": "red"}, 20)
    pictures = model.sample(20, seed=1, condition=asked, guidance_scale=2.0)
    assert sum(is_of(np.asarray(picture, float), "right", "red") for picture in pictures) >= 15
    assert model.bound(image.prepare(model.recipe.data).test, 8).shape == (8,)


def test_pictures_are_restored(enhancer: Path, tmp_path: Path, cli: Cli) -> None:
    rng, out = np.random.default_rng(1), tmp_path / "out"
    kinds = (("left", "red"), ("right", "blue"), ("right", "red"))
    real = {f"{side}-{colour}": bar(side, colour, rng) for side, colour in kinds}

    def enhanced(verb: str, degraded: dict[str, np.ndarray], *words: object) -> tuple[float, float]:
        """Mean error of what the command makes of pictures, and of the pictures themselves (enlarged)."""
        for name, pixels in degraded.items():
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        succeed(app, verb, enhancer, *(tmp_path / f"{name}.png" for name in degraded), *words, "-o", out, "--overwrite")
        before = [Image.fromarray(pixels).convert("RGB").resize((8, 8)) for pixels in degraded.values()]
        after = [error(read(out / f"{name}.png"), real[name]) for name in degraded]
        pairs = zip(before, real.values(), strict=True)
        return float(np.mean(after)), float(np.mean([error(np.asarray(x), y) for x, y in pairs]))

    small = {name: pixels.reshape(4, 2, 4, 2, 3).mean((1, 3)).astype(np.uint8) for name, pixels in real.items()}
    noisy = {name: (pixels + rng.normal(0, 0.3 * 255, pixels.shape)).clip(0, 255).astype(np.uint8)
             for name, pixels in real.items()}
    grey = {name: np.asarray(Image.fromarray(pixels).convert("L")) for name, pixels in real.items()}
    for verb, degraded, words in (("upscale", small, ("--factor", 2)), ("denoise", noisy, ("--sigma", 0.3)),
                                  ("colorize", grey, ())):
        after, before = enhanced(verb, degraded, *words)
        assert after < 0.5 * before, (verb, after, before)

    holed = real["left-red"].copy()
    holed[2:6, :4] = 0
    Image.fromarray(holed).save(tmp_path / "holed.png")
    where = ("--json", "-o", out, "--overwrite")
    code, printed, _ = cli("inpaint", enhancer, tmp_path / "holed.png", "--box", "0,2,4,4", *where)
    assert code == 0 and json.loads(printed) == {"files": [str(out / "holed.png")]}
    filled = read(out / "holed.png")
    assert error(filled, real["left-red"]) < 0.3 * error(holed, real["left-red"])
    np.testing.assert_array_equal(filled[:2], holed[:2])
    library = image.inpaint(image.load(enhancer), Image.fromarray(holed), Image.fromarray(
        np.pad(np.full((4, 4), 255, np.uint8), ((2, 2), (0, 4)))))
    np.testing.assert_array_equal(np.asarray(library, float), filled)  # the same seed, the same picture
    code, printed, _ = cli("evaluate", enhancer, "-n", 40, "--json")
    assert code == 0 and {m["name"]: m for m in json.loads(printed)}["psnr_denoise"]["beats_baseline"]


def test_pictures_between_and_beside_others(
    maker: Path, photos: Path, tmp_path: Path, cli: Cli, refused: Callable[..., str]
) -> None:
    first, second, out = photos / "left" / "0.png", photos / "right" / "3.png", tmp_path / "out"
    like = ("--class", "left", "--prompt", "red")
    succeed(app, "variations", maker, first, "-n", 6, "--strength", 0.2, *like, "-o", out, "--overwrite")
    made = [read(out / f"{index:05d}.png") for index in range(6)]
    assert max(error(pixels, read(first)) for pixels in made) < 0.1 * error(read(second), read(first))
    assert any((pixels != made[0]).any() for pixels in made[1:])

    vae = train("folder-vae", tmp_path / "vae", photos, f"family.encoder={NETWORK}", f"family.decoder={NETWORK}",
                "family.latent=8", 'family.likelihood={"kind": "Gaussian"}', "family.beta=0.3", "train.steps=400")
    code, printed, _ = cli("interpolate", vae, first, second, "--frames", 5, "--json", "-o", out, "--overwrite")
    strip, animation = map(Path, json.loads(printed)["files"])
    assert code == 0 and read(strip).shape[1] > 4 * read(strip).shape[0]
    with Image.open(animation) as moving:
        assert moving.n_frames == 8  # type: ignore[attr-defined]
    model = image.load(vae)
    ends = [Image.open(path).copy() for path in (first, second)]
    again = [np.asarray(picture, float) for picture in image.reconstruct(model, ends)]
    frames = [np.asarray(frame, float) for frame in image.interpolate(model, ends[0], ends[1], 5)]
    assert error(again[0], read(first)) < 0.5 * error(again[1], read(first))
    assert error(frames[0], again[0]) < 4 and error(frames[-1], again[1]) < 4
    assert error(frames[1], frames[0]) < error(frames[4], frames[0])
    succeed(app, "interpolate", maker, "--frames", 3, "--class", "right", "--steps", 4, "-o", out, "--overwrite")
    assert "no latents to go back through" in refused("interpolate", maker, first, second, "-o", out, "--overwrite")
    assert "makes no variations" in refused("variations", vae, first, "-o", out, "--overwrite")


def test_a_classifier_needs_no_model(cli: Cli) -> None:
    code, out, _ = cli("classifier", "digits", "--json")
    assert code == 0 and json.loads(out)["test_accuracy"] > 0.95
