"""What people come for, as values; what imports much is imported when a task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FourfoldError
from core.files import write_atomically
from core.runs.media import Media
from core.runs.tasks import (
    Progress,
    Result,
    Task,
    argument,
    changes,
    guidance_option,
    num_option,
    num_steps_option,
    option,
    seed_option,
    solver_option,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from apps.image.data import ImageModel
    from apps.image.recipes import ImageRecipe


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What every task takes that draws pictures."""

    seed: int = seed_option()
    num_steps: int | None = num_steps_option()
    solver: str | None = solver_option()


@dataclass(frozen=True, kw_only=True)
class Enhancing(Drawing):
    """What every task takes that restores several pictures."""

    photos: list[Path] = argument("PHOTO...", "Pictures: PNG, JPEG, WebP ...")


@dataclass(frozen=True, kw_only=True)
class Upscaling(Enhancing):
    factor: int = option(2, "2 or 4 times the pixels along each side.")


@dataclass(frozen=True, kw_only=True)
class Denoising(Enhancing):
    sigma: float = option(0.1, "The noise's standard deviation, where white is 1.")


@dataclass(frozen=True, kw_only=True)
class Inpainting(Drawing):
    photo: Path = argument("PHOTO", "A picture: PNG, JPEG, WebP ...")
    mask: Path | None = option(None, "A picture of PHOTO's size, white where to fill.")
    box: str | None = option(None, "Instead: left,top,width,height in pixels.")


@dataclass(frozen=True, kw_only=True)
class Conditioned(Drawing):
    class_name: str | None = option(None, "Condition on this class.", "--class")
    prompt: str | None = option(None, "Condition on this caption.")


@dataclass(frozen=True, kw_only=True)
class Varying(Conditioned):
    photo: Path = argument("PHOTO", "A picture: PNG, JPEG, WebP ...")
    num: int = num_option(8)
    strength: float = option(0.6, "How much is made anew, above 0 up to 1.")
    guidance_scale: float | None = guidance_option()


@dataclass(frozen=True, kw_only=True)
class Interpolating(Conditioned):
    photos: list[Path] | None = argument("PHOTO PHOTO", "The ends (a VAE).", None)
    frames: int = option(9, "Pictures, both ends included.", minimum=2, maximum=10_000)


@dataclass(frozen=True, kw_only=True)
class Classifying:
    source: str = argument("SOURCE", "digits, mnist, fashion, cifar10, emoji.")
    size: int = option(0, "Pixels along a side; 0 is the source's own.")


def upscale(model: ImageModel, given: Upscaling, progress: Progress) -> Result:
    from apps.image.enhancement import upscale

    enlarged = partial(upscale, model, factor=given.factor, seed=given.seed, **changes(given))
    return _each(given.photos, progress, enlarged)


def denoise(model: ImageModel, given: Denoising, progress: Progress) -> Result:
    from apps.image.enhancement import denoise

    return _each(given.photos, progress, partial(denoise, model, sigma=given.sigma, seed=given.seed, **changes(given)))


def colorize(model: ImageModel, given: Enhancing, progress: Progress) -> Result:
    from apps.image.enhancement import colorize

    return _each(given.photos, progress, partial(colorize, model, seed=given.seed, **changes(given)))


def inpaint(model: ImageModel, given: Inpainting, progress: Progress) -> Result:
    from apps.image.enhancement import inpaint
    from apps.image.sources import open_image

    if (given.mask is None) == (given.box is None):
        raise FourfoldError("give --mask FILE or --box left,top,width,height (one of them)")
    size = open_image(given.photo).size
    hole = _box(given.box or "", size) if given.mask is None else open_image(given.mask)
    return _each([given.photo], progress, partial(inpaint, model, hole=hole, seed=given.seed, **changes(given)))


def variations(model: ImageModel, given: Varying, progress: Progress) -> Result:
    from apps.image.editing import variations
    from apps.image.media import preview, write
    from apps.image.sources import open_image

    made = variations(
        model, open_image(given.photo), given.num, strength=given.strength, seed=given.seed,
        condition=_condition(model, given, given.num), **changes(given),
    )
    return Result(write=lambda folder: write(made, folder), media=lambda: preview(made))


def interpolate(model: ImageModel, given: Interpolating, progress: Progress) -> Result:
    from apps.image.editing import interpolate
    from apps.image.media import gif, grid, png
    from apps.image.sources import open_image

    photos = given.photos or []
    if len(photos) not in (0, 2):
        raise FourfoldError(f"{len(photos)} photos were given: an interpolation needs two, or none")
    first, second = map(open_image, photos) if photos else (None, None)
    condition = _condition(model, given, given.frames)
    made = interpolate(model, first, second, given.frames, seed=given.seed, condition=condition, **changes(given))
    strip = grid(made, columns=len(made))
    return _pictures({"interpolation.png": png(strip), "interpolation.gif": gif(made)})


def classifier(model: None, given: Classifying, progress: Progress) -> Result:
    from apps.image.data import ImageData, prepare
    from apps.image.metrics import classifier
    from core.serialization import from_dict

    in_color = given.source in ("cifar10", "emoji")
    data = from_dict(ImageData, {"source": given.source, "size": given.size, "color": in_color}, "data")
    name, trained = f"{given.source}_cnn", classifier(data, prepare(data))
    return Result(
        text=f"{name}: {trained.classes} classes, test accuracy {trained.test_accuracy:.4f}",
        data={"name": name, "classes": trained.classes, "test_accuracy": trained.test_accuracy},
    )


def _each(photos: Sequence[Path], progress: Progress, restore: Callable[[Image], Image]) -> Result:
    """Every photo restored; each result is named after its photo."""
    from apps.image.media import png
    from apps.image.sources import open_image

    images: dict[str, Image] = {}
    for photo in photos:  # all are read before the first hour of work is done
        if photo.stem in images:
            raise FourfoldError(f"two photos are called {photo.stem}: their results would overwrite each other")
        images[photo.stem] = open_image(photo)
    made = {}
    for stem, image in images.items():
        made[f"{stem}.png"] = png(restore(image))
        progress.step(len(made), len(images))
    return _pictures(made)


def _pictures(files: Mapping[str, bytes]) -> Result:
    """Encoded pictures by the names of their files."""

    def write(folder: Path) -> list[Path]:
        for name, content in files.items():
            write_atomically(folder / name, content)
        return [folder / name for name in files]

    media = [Media(kind="gif" if name.endswith("gif") else "png", content=c, caption=name) for name, c in files.items()]
    return Result(write=write, media=lambda: media)


def _condition(model: ImageModel, given: Conditioned, n: int) -> dict[str, Tensor] | None:
    return model.codec.parse_conditions({"class": given.class_name, "prompt": given.prompt}, n)


def _box(text: str, size: tuple[int, int]) -> Image:
    """A mask for a picture of `size`, white in the box "left,top,width,height"."""
    from PIL import Image as Images

    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise FourfoldError(f"--box is {text!r}: must be left,top,width,height in whole pixels")
    left, top, width, height = map(int, parts)
    if width < 1 or height < 1 or left + width > size[0] or top + height > size[1]:
        raise FourfoldError(f"--box is {text!r}: must lie within the picture, which is {size[0]}x{size[1]}")
    mask = Images.new("L", size, 0)
    mask.paste(255, (left, top, left + width, top + height))
    return mask


def suggests(recipe: ImageRecipe) -> list[str]:
    """What a model of `recipe` is for, as `Domain.suggests`."""
    if recipe.data.restore:
        return ["upscale {run} small.png", "denoise {run} noisy.png", "inpaint {run} torn.png --box 9,9,10,10"]
    ways = ["interpolate {run}"] if recipe.family.kind != "autoregressive" else []
    return [*ways, "variations {run} {run}/samples/00000.png"] if recipe.family.kind == "diffusion" else ways


TASKS = (
    Task(name="upscale", summary="Enlarge pictures (an enhancement model, such as fashion-enhance).",
         parameters=Upscaling, run=upscale, result="pictures", output="out", model="enhance",
         example="small.png --factor 2"),
    Task(name="denoise", summary="Take noise out of pictures (an enhancement model).", parameters=Denoising,
         run=denoise, result="pictures", output="out", model="enhance",
         example="noisy.png --sigma 0.2"),
    Task(name="colorize", summary="Give grey pictures colours (an enhancement model of colour pictures).",
         parameters=Enhancing, run=colorize, result="pictures", output="out", model="emoji-enhance",
         example="grey.png"),
    Task(name="inpaint", summary="Fill a part of a picture (an enhancement model).", parameters=Inpainting,
         run=inpaint, result="pictures", output="out", model="enhance",
         example="torn.png --box 9,9,10,10"),
    Task(name="variations", summary="Make pictures like one (any diffusion model).", parameters=Varying,
         run=variations, result="pictures", output="out", example="seven.png --strength 0.5"),
    Task(name="interpolate", summary="Go from one picture to another, as a strip and a GIF: two photos (a VAE), or two "
         "samples (not autoregressive).", parameters=Interpolating, run=interpolate, result="pictures", output="out",
         example="--frames 12"),
    Task(name="classifier", summary="Train the classifier whose features are the space of the distances "
         "(fd_SOURCE_cnn); print its test accuracy.", parameters=Classifying, run=classifier, result="numbers",
         takes_model=False, example="digits"),
)
