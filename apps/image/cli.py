"""The command line of the image domain: the shared verbs, and its own tasks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.command_line.verbs import Device, Guidance, Num, Output, RunFolder, Seed, Solver, Steps, build, print_paths
from core.errors import FourfoldError

if TYPE_CHECKING:
    from core.runs.model import Model
    from PIL.Image import Image

app = build("image", lambda: importlib.import_module("apps.image.domain").DOMAIN)

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Pictures: PNG, JPEG, WebP ...")]
Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture: PNG, JPEG, WebP ...")]
Class = Annotated[str | None, typer.Option("--class", help="Condition on this class.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Condition on this caption.")]


@app.command()
def upscale(
    run: RunFolder, photos: Photos, output: Output = Path("out"), seed: Seed = 0, device: Device = "auto",
    factor: Annotated[int, typer.Option("--factor", help="2 or 4 times the pixels along each side.")] = 2,
    steps: Steps = None, solver: Solver = None,
) -> None:
    """Enlarge pictures (an enhancement model, such as fashion-enhance)."""
    from apps.image.tasks import upscale as task

    _each(run, photos, output, device, lambda model, image: task(
        model, image, factor, seed=seed, num_steps=steps, solver=solver))


@app.command()
def denoise(
    run: RunFolder, photos: Photos, output: Output = Path("out"), seed: Seed = 0, device: Device = "auto",
    sigma: Annotated[float, typer.Option("--sigma", help="The noise's standard deviation, where white is 1.")] = 0.1,
    steps: Steps = None, solver: Solver = None,
) -> None:
    """Take noise out of pictures (an enhancement model)."""
    from apps.image.tasks import denoise as task

    _each(run, photos, output, device, lambda model, image: task(
        model, image, sigma, seed=seed, num_steps=steps, solver=solver))


@app.command()
def colorize(
    run: RunFolder, photos: Photos, output: Output = Path("out"), seed: Seed = 0, device: Device = "auto",
    steps: Steps = None, solver: Solver = None,
) -> None:
    """Give grey pictures colours (an enhancement model of colour pictures)."""
    from apps.image.tasks import colorize as task

    _each(run, photos, output, device, lambda model, image: task(
        model, image, seed=seed, num_steps=steps, solver=solver))


@app.command()
def inpaint(
    run: RunFolder, photo: Photo, output: Output = Path("out"), seed: Seed = 0, device: Device = "auto",
    mask: Annotated[Path | None, typer.Option("--mask", help="A picture of PHOTO's size, white where to fill.")] = None,
    box: Annotated[str | None, typer.Option("--box", help="Instead: left,top,width,height in pixels.")] = None,
    steps: Steps = None, solver: Solver = None,
) -> None:
    """Fill a part of a picture (an enhancement model)."""
    from apps.image.data import open_image
    from apps.image.tasks import inpaint as task

    if (mask is None) == (box is None):
        raise FourfoldError("give --mask FILE or --box left,top,width,height (one of them)")

    def fill(model: Model, image: Image) -> Image:
        hole = open_image(mask) if mask is not None else _box(box or "", image)
        return task(model, image, hole, seed=seed, num_steps=steps, solver=solver)

    _each(run, [photo], output, device, fill)


@app.command()
def variations(
    run: RunFolder, photo: Photo, num: Num = 8, output: Output = Path("out"), seed: Seed = 0, device: Device = "auto",
    strength: Annotated[float, typer.Option("--strength", help="How much is made anew, above 0 up to 1.")] = 0.6,
    class_name: Class = None, prompt: Prompt = None, steps: Steps = None, solver: Solver = None,
    guidance: Guidance = None,
) -> None:
    """Make pictures like one (any diffusion model)."""
    from apps.image.data import open_image
    from apps.image.domain import load, write
    from apps.image.tasks import variations as task

    image, model = open_image(photo), load(run, device)
    condition = _condition(model, num, class_name, prompt)
    made = task(model, image, num, strength=strength, seed=seed, condition=condition, num_steps=steps, solver=solver,
                guidance_scale=guidance)
    output.mkdir(parents=True, exist_ok=True)
    print_paths(write(made, output))


@app.command()
def interpolate(
    run: RunFolder,
    photos: Annotated[list[Path] | None, typer.Argument(metavar="[PHOTO PHOTO]", help="The ends (a VAE).")] = None,
    output: Output = Path("out"), seed: Seed = 0, device: Device = "auto",
    frames: Annotated[int, typer.Option("--frames", min=2, help="Pictures, both ends included.")] = 9,
    class_name: Class = None, prompt: Prompt = None, steps: Steps = None,
) -> None:
    """Go from one picture to another, as a strip and a GIF: two photos (a VAE), or two samples (not autoregressive)."""
    from apps.image.data import open_image
    from apps.image.domain import load
    from apps.image.tasks import grid
    from apps.image.tasks import interpolate as task

    if photos and len(photos) != 2:
        raise FourfoldError(f"{len(photos)} photos were given: an interpolation needs two, or none")
    ends = [open_image(photo) for photo in photos or []] or [None, None]
    model = load(run, device)
    condition = _condition(model, frames, class_name, prompt)
    made = task(model, ends[0], ends[1], frames, seed=seed, condition=condition, num_steps=steps)
    output.mkdir(parents=True, exist_ok=True)
    strip, animation = output / "interpolation.png", output / "interpolation.gif"
    grid(made, columns=len(made)).save(strip)
    shown = [grid([image]) for image in [*made, *made[-2:0:-1]]]  # there and back
    shown[0].save(animation, save_all=True, append_images=shown[1:], duration=120, loop=0)
    print_paths([strip, animation])


@app.command()
def classifier(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="digits, mnist, fashion, cifar10, emoji.")],
    size: Annotated[int, typer.Option("--size", help="Pixels along a side; 0 is the source's own.")] = 0,
) -> None:
    """Train the classifier whose features are the space of the distances (fd_SOURCE_cnn); print its test accuracy."""
    from apps.image.data import ImageData, prepare
    from apps.image.metrics import classifier as train
    from core.serialization import from_dict

    data = from_dict(ImageData, {"source": source, "size": size, "color": source in ("cifar10", "emoji")}, "data")
    judge = train(data, prepare(data))
    print(f"{source}_cnn: {judge.classes} classes, test accuracy {judge.test_accuracy:.4f}")


def _each(
    run: Path, photos: list[Path], output: Path, device: str, task: Callable[[Model, Image], Image]
) -> None:
    """Do a task with every photo; each result is named after its photo."""
    from apps.image.data import open_image
    from apps.image.domain import load

    images = [open_image(photo) for photo in photos]  # all are read before the first hour of work is done
    model = load(run, device)
    output.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for photo, image in zip(photos, images, strict=True):
        path = output / f"{photo.stem}.png"
        if path in paths:
            raise FourfoldError(f"two photos are called {photo.stem}: their results would overwrite each other")
        task(model, image).save(path)
        paths.append(path)
    print_paths(paths)


def _condition(model: Model, n: int, class_name: str | None, prompt: str | None) -> Any:
    from core.condition_parsing import parse_condition

    texts = {name: text for name, text in (("class", class_name), ("prompt", prompt)) if text is not None}
    return parse_condition(model.codec.conditions, texts, n) if texts else None


def _box(text: str, image: Image) -> Image:
    """A mask of the image's size, white in the box "left,top,width,height"."""
    from PIL import Image as Images

    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise FourfoldError(f"--box is {text!r}: must be left,top,width,height in whole pixels")
    left, top, width, height = map(int, parts)
    if width < 1 or height < 1 or left + width > image.size[0] or top + height > image.size[1]:
        raise FourfoldError(f"--box is {text!r}: must lie within the picture, which is {image.size[0]}x{image.size[1]}")
    mask = Images.new("L", image.size, 0)
    mask.paste(255, (left, top, left + width, top + height))
    return mask
