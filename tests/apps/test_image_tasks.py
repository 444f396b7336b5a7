"""Image tasks: enlarging, denoising, inpainting, colours, variations, interpolation; and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed
from PIL import Image

from apps import image
from apps.image.cli import app
from apps.image.data import ImageData, prepare
from apps.image.degradations import TASKS as DEGRADATIONS
from apps.image.degradations import boxes, degrade, degrade_batch, grey, luma, noisy, small
from apps.image.domain import DOMAIN
from apps.image.enhancement import with_brightness
from apps.image.metrics import classical, evaluate_restoration, example
from apps.image.sources import open_image
from apps.image.tasks import TASKS, Denoising, Interpolating, Upscaling, Varying
from core.batches import Batch
from core.runs.pretrained import build
from core.runs.tasks import Progress, Stopped

CASES = Path(__file__).parent.parent / "data" / "cases"
DIGITS = ("--set", "data.source=digits", "--set", "data.size=8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models: enhance (grey), colour, one of each family; diffusion and VAEs have learned something."""
    home = tmp_path_factory.mktemp("runs")
    few = ("--set", "train.steps=4", "--set", "train.batch_size=20")
    for name, recipe in (("enhance", "fashion-enhance"), ("colour", "emoji-enhance")):
        succeed(app, "train", recipe, "--run", home / name, *DIGITS, *few, "--set", "family.denoiser.width=16")
    succeed(app, "train", "tour-diffusion", "--run", home / "diffusion", "--set", "train.steps=60")
    for family in ("vae", "gan", "autoregressive"):
        mean = ("--set", "family.output=mean", "--set", "train.steps=100") if family == "vae" else ()
        succeed(app, "train", f"tour-{family}", "--run", home / family, *few, *mean)
    succeed(app, "train", "tour-vae", "--run", home / "drawn", *few, "--set", "train.steps=100")
    return home


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A held-out digit, as a file."""
    path = tmp_path / "photo.png"
    prepared = prepare(ImageData())
    prepared.codec.decode(prepared.test.batch([0]))[0].save(path)
    return path


# -------------------------------------------------------------------------------------------------- degradations


def test_degradations_are_what_they_say():
    x = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    draw = torch.Generator().manual_seed(1)
    for task in DEGRADATIONS:
        assert degrade(task, x, draw).shape == (40, 4, 8, 8)
    holes = degrade("inpaint", x, draw)
    missing = holes[:, 3:] > 0
    assert (holes[:, :3][missing.expand(-1, 3, -1, -1)] == 0).all() and 0.02 < missing.float().mean() < 0.4
    assert torch.equal(holes[:, :3][~missing.expand(-1, 3, -1, -1)], x[~missing.expand(-1, 3, -1, -1)])
    torch.testing.assert_close(luma(grey(x)[:, :3]), luma(x))
    assert torch.equal(noisy(x, 0.3)[:, 3:], torch.full((40, 1, 8, 8), 0.3))
    flat = torch.full((1, 1, 2, 2), 0.25)
    torch.testing.assert_close(small(flat, 4)[:, :1], torch.full((1, 1, 8, 8), 0.25))
    box = boxes(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), 8, 8)
    assert box.sum() == 12 and box[0, 0, 1:4, 2:6].all()


def test_every_task_is_learned_from_every_batch():
    batch = degrade_batch(Batch(torch.zeros(40, 1, 8, 8)), torch.Generator().manual_seed(0))
    assert batch.condition["task"].bincount().tolist() == [10, 10, 10, 10]  # a grey picture has no colours to learn
    again = degrade_batch(Batch(torch.zeros(40, 1, 8, 8)), torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.condition["degraded"], batch.condition["degraded"])


def test_classical_methods_are_better_than_nothing():
    x = prepare(ImageData(source="digits", size=16)).test.batch(np.arange(8)).x
    for task in ("denoise", "inpaint"):
        degraded = example(task, x, torch.Generator().manual_seed(0))
        _, made = classical(task, degraded)
        assert (made - x).square().mean() < 0.8 * (degraded[:, :1] - x).square().mean()


# ------------------------------------------------------------------------------------------------- what is restored


@pytest.mark.slow
def test_restoring_beats_the_classical_methods(tmp_path):
    succeed(app, "train", "fashion-enhance", "--run", tmp_path, *DIGITS, "--set", "train.steps=250",
            "--set", "train.batch_size=64", "--set", "family.denoiser.width=32", "--set", "train.optimizer=adamw")
    model = image.load(tmp_path)
    prepared = DOMAIN.prepare(model.recipe.data)
    found = {m.name: m for m in evaluate_restoration(model, prepared, 200, 0)}
    untrained = build(DOMAIN, model.recipe, model.codec, torch.device("cpu"))
    before = {m.name: m for m in evaluate_restoration(untrained, prepared, 200, 0)}
    for task in ("upscale2", "denoise", "inpaint"):
        measure = found[f"psnr_{task}"]
        assert measure.value > measure.baseline, measure
        assert before[f"psnr_{task}"].value < measure.baseline
    assert found["fd_digits_cnn_upscale2"].beats_baseline
    assert found["fd_digits_cnn_upscale2"].floor < found["fd_digits_cnn_upscale2"].value


def test_evaluate_reports_restoration(runs):
    succeed(app, "evaluate", runs / "enhance", "-n", "60")
    names = [m["name"] for m in json.loads((runs / "enhance" / "metrics.json").read_text())["measures"]]
    assert names[:2] == ["psnr_upscale2", "fd_digits_cnn_upscale2"] and "psnr_inpaint" in names


def test_inpainting_keeps_what_is_known(runs, photo):
    model, picture = image.load(runs / "enhance"), open_image(photo)
    mask = Image.new("L", (8, 8), 0)
    mask.paste(255, (2, 3, 5, 6))
    made = np.asarray(image.inpaint(model, picture, mask))
    hole = np.asarray(mask) > 0
    np.testing.assert_array_equal(made[~hole], np.asarray(picture)[~hole])
    assert (made[hole] != np.asarray(picture)[hole]).any()


def test_colours_keep_the_brightness(runs, photo):
    picture = open_image(photo).convert("RGB")
    made = image.colorize(image.load(runs / "colour"), picture)
    assert made.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(made.convert("L")), np.asarray(picture.convert("L")))


def test_masks_fit_pictures_as_they_are_seen(runs, caplog):
    model = image.load(runs / "enhance")
    upright, lying = (open_image(CASES / f"phone-{name}.png") for name in ("upright", "lying"))
    with Image.open(CASES / "phone-lying.png") as raw:  # nobody has turned it
        made_of = [image.inpaint(model, picture, open_image(CASES / "phone-mask.png")) for picture in (lying, raw)]
    hole = np.asarray(open_image(CASES / "phone-mask.png")) > 127
    for made in made_of:
        np.testing.assert_array_equal(np.asarray(made)[~hole], np.asarray(upright.convert("L"))[~hole])
    painted, grey = open_image(CASES / "mask-white-on-transparent.png"), Image.new("L", (16, 16), 77)
    caplog.clear()
    made = image.inpaint(model, grey, painted)
    assert (np.asarray(made) != 77).sum() <= 30 and (np.asarray(painted)[..., 3] > 0).sum() == 30
    assert (np.asarray(made)[np.asarray(painted)[..., 3] == 0] == 77).all()
    assert caplog.messages == ["the mask: transparent in parts; black is put behind"]
    image.inpaint(model, grey, Image.new("RGBA", (16, 16), "white"))
    assert "the mask is white everywhere" in caplog.messages[-1]
    image.upscale(model, Image.new("RGBA", (8, 8), (0, 0, 0, 128)))
    assert caplog.messages[-1] == "the picture: transparent in parts; white is put behind"


def test_any_colours_are_had_at_any_brightness():
    wild = 4 * torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    wild[0] = 0.3  # no colour at all
    levels = torch.arange(256).view(1, 16, 16).repeat(40, 1, 1)
    made = with_brightness(wild, levels).numpy()
    for pixels in made:
        np.testing.assert_array_equal(np.asarray(Image.fromarray(pixels).convert("L")), levels[0])
    assert (made[0] == made[0, :, :, :1]).all() and np.ptp(made[1:], axis=-1).mean() > 50, "colours are left"
    mild = torch.tensor([[0.5, 0.0, -0.5]]).view(1, 3, 1, 1)  # fits at its own brightness: it is kept
    own = (luma(mild)[:, 0] + 1) * 127.5
    np.testing.assert_allclose(with_brightness(mild, own.round())[0, 0, 0], [191, 128, 64], atol=1)


def test_pictures_of_any_size_are_restored(runs, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 22), dtype=np.uint8))
    model = image.load(runs / "enhance")
    assert image.upscale(model, picture, 2).size == (44, 26)
    assert image.upscale(model, picture, 4).size == (88, 52)
    assert image.denoise(model, picture, 0.2).size == (22, 13)
    picture.convert("RGBA").save(tmp_path / "a.png")
    picture.save(tmp_path / "b.webp")
    succeed(app, "upscale", runs / "enhance", tmp_path / "a.png", tmp_path / "b.webp", "-o", tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "b.png"}
    assert open_image(tmp_path / "out" / "a.png").size == (44, 26)


def test_a_task_tells_how_far_it_is_and_shows_what_it_made(runs, photo, tmp_path):
    other, steps = tmp_path / "other.png", []
    other.write_bytes(photo.read_bytes())
    progress = Progress(on_step=lambda done, total: steps.append((done, total)))
    model, tasks = image.load(runs / "enhance"), {task.name: task for task in TASKS}
    result = tasks["upscale"].run(model, Upscaling(photos=[photo, other]), progress)
    assert steps == [(1, 2), (2, 2)]
    assert [(m.kind, m.caption) for m in result.media()] == [("png", "photo.png"), ("png", "other.png")]
    progress.stopped = True
    with pytest.raises(Stopped):
        tasks["denoise"].run(model, Denoising(photos=[photo, other]), progress)
    moving = tasks["interpolate"].run(image.load(runs / "gan"), Interpolating(frames=3), Progress())
    assert [m.kind for m in moving.media()] == ["png", "gif"]
    near = tasks["variations"].run(image.load(runs / "diffusion"), Varying(photo=photo, num=3), Progress())
    assert [m.caption for m in near.media()] == ["3 samples"]


def test_the_same_seed_restores_the_same(runs, photo):
    model, picture = image.load(runs / "enhance"), open_image(photo)
    one, two, three = (np.asarray(image.upscale(model, picture, seed=seed, num_steps=4)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()


# --------------------------------------------------------------------------------- variations and interpolations


def test_variations_stay_nearer_when_weak(runs, photo):
    model, picture = image.load(runs / "diffusion"), open_image(photo)

    def far(strength: float) -> float:
        made = image.variations(model, picture, 12, strength=strength)
        return float(np.mean([np.abs(np.asarray(m, float) - np.asarray(picture, float)).mean() for m in made]))

    weak, strong = far(0.2), far(1.0)
    assert weak < 0.7 * strong


@pytest.mark.parametrize("family", ["vae", "gan", "diffusion"])
def test_interpolations_go_smoothly_from_end_to_end(runs, tmp_path, family):
    succeed(app, "interpolate", runs / family, "--frames", "6", "--class", "3", "-o", tmp_path)
    with Image.open(tmp_path / "interpolation.gif") as animation:
        assert animation.n_frames == 10
    strip = open_image(tmp_path / "interpolation.png")
    assert strip.width > 5 * strip.height
    steps = image.interpolate(image.load(runs / family), frames=9, seed=3)
    pixels = np.stack([np.asarray(step, float) for step in steps])
    assert np.abs(np.diff(pixels, axis=0)).mean() < np.abs(pixels[-1] - pixels[0]).mean()


@pytest.mark.parametrize("family", ["vae", "drawn"])
def test_interpolations_of_photos_are_functions_of_their_latents(runs, photo, family):
    model, first = image.load(runs / family), open_image(photo)
    second = Image.fromarray(255 - np.asarray(first))
    steps = image.interpolate(model, first, second, 5, seed=3)
    ends = image.reconstruct(model, [first, second], seed=3)

    def same(ours: Image.Image, theirs: Image.Image) -> bool:  # up to the arithmetic of other batch shapes
        return bool(np.mean(np.asarray(ours) == np.asarray(theirs)) > 0.95)

    assert same(steps[0], ends[0]) and same(steps[-1], ends[1]) and not same(*ends)
    still = image.interpolate(model, first, first, 5, seed=3)
    assert all(same(step, ends[0]) for step in still), "a picture on its way to itself does not flicker"


# -------------------------------------------------------------------------------------------------------- mistakes


def test_mistaken_enhancements_are_refused(refused, runs, photo, tmp_path):
    out = ("-o", tmp_path / "out")
    broken, empty, large = tmp_path / "broken.png", tmp_path / "empty.png", tmp_path / "large.png"
    broken.write_bytes(photo.read_bytes()[:-30])
    empty.touch()
    Image.new("L", (700, 700)).save(large)
    other = tmp_path / "other"
    other.mkdir()
    (other / "photo.png").write_bytes(photo.read_bytes())
    run = runs / "enhance"
    assert "no such image" in refused("upscale", run, tmp_path / "nowhere.png", *out)
    assert "broken.png" in refused("upscale", run, photo, broken, *out)
    assert "empty" in refused("denoise", run, empty, *out)
    assert "factor" in refused("upscale", run, photo, "--factor", "3", *out)
    assert "1400x1400" in refused("upscale", run, large, *out)
    Image.new("L", (8000, 8000)).save(large)  # enlarged before it is refused, it would take gigabytes
    assert "32000x32000" in refused("upscale", run, large, "--factor", "4", *out)
    assert "no such run" in refused("upscale", tmp_path / "norun", photo, *out)
    assert "restore" in refused("upscale", runs / "diffusion", photo, *out)
    assert "restore" in refused("inpaint", runs / "vae", photo, "--box", "0,0,2,2", *out)
    assert "overwrite" in refused("upscale", run, photo, other / "photo.png", *out)
    for sigma in ("0", "0.9", "nan", "-1"):
        assert "sigma" in refused("denoise", run, photo, "--sigma", sigma, *out)
    assert "grey" in refused("colorize", run, photo, *out)
    assert "steps" in refused("upscale", run, photo, "--steps", "0", *out)
    assert "dpmpp_2m" in refused("upscale", run, photo, "--solver", "dpm", *out)
    assert "PHOTO" in refused("upscale", run, *out)


def test_mistaken_holes_are_refused(refused, runs, photo, tmp_path):
    run, out = runs / "enhance", ("-o", tmp_path / "out")
    wrong, black, text = tmp_path / "wrong.png", tmp_path / "black.png", tmp_path / "text.png"
    Image.new("L", (5, 5), 255).save(wrong)
    Image.new("L", (8, 8), 0).save(black)
    text.write_text("no picture")
    assert "--mask" in refused("inpaint", run, photo, *out)
    assert "one of them" in refused("inpaint", run, photo, "--mask", wrong, "--box", "1,1,2,2", *out)
    assert "one size" in refused("inpaint", run, photo, "--mask", wrong, *out)
    assert "paint white" in refused("inpaint", run, photo, "--mask", black, *out)
    Image.new("LA", (8, 8), (255, 90)).save(black)
    assert "no white paint" in refused("inpaint", run, photo, "--mask", black, *out)
    assert "text.png" in refused("inpaint", run, photo, "--mask", text, *out)
    for box in ("1,1,2", "a,b,c,d", "-1,0,2,2", "1.5,0,2,2"):
        assert "whole pixels" in refused("inpaint", run, photo, "--box", box, *out)
    for box in ("7,7,2,2", "0,0,0,3", "0,0,9,9"):
        assert "within the picture" in refused("inpaint", run, photo, "--box", box, *out)


def test_mistaken_variations_and_interpolations_are_refused(refused, runs, photo, tmp_path):
    out = ("-o", tmp_path / "out")
    for strength in ("0", "1.5", "nan"):
        assert "strength" in refused("variations", runs / "diffusion", photo, "--strength", strength, *out)
    for family in ("vae", "gan", "autoregressive", "enhance"):
        assert "diffusion model" in refused("variations", runs / family, photo, *out)
    assert "'77'" in refused("variations", runs / "diffusion", photo, "--class", "77", *out)
    assert "prompt" in refused("variations", runs / "diffusion", photo, "--prompt", "a cat", *out)
    assert "num" in refused("variations", runs / "diffusion", photo, "-n", "0", *out)
    assert "two, or none" in refused("interpolate", runs / "vae", photo, *out)
    assert "frames" in refused("interpolate", runs / "vae", "--frames", "1", *out)
    assert "no latents" in refused("interpolate", runs / "autoregressive", *out)
    assert "use a VAE" in refused("interpolate", runs / "gan", photo, photo, *out)
    assert "digits, " in refused("classifier", "fashionn")
    assert "prompt" in refused("sample", runs / "vae", "--prompt", "cat", *out)


def test_results_that_cannot_be_written_are_one_line(refused, runs, photo, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused("upscale", runs / "enhance", photo, "-o", tmp_path / "file")
    assert "file" in refused("interpolate", runs / "vae", "-o", tmp_path / "file" / "deeper")
    (tmp_path / "out" / "photo.png").mkdir(parents=True)
    assert "photo.png" in refused("upscale", runs / "enhance", photo, "-o", tmp_path / "out", "--overwrite")


def test_damaged_runs_and_recipes_are_refused(refused, runs, photo, tmp_path):
    weights = runs / "gan" / "model" / "model.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[: len(kept) // 2])
        assert "model.safetensors" in refused("sample", runs / "gan", "-o", tmp_path / "o")
        weights.write_bytes(b"")
        assert "model.safetensors" in refused("interpolate", runs / "gan", "-o", tmp_path / "o")
    finally:
        weights.write_bytes(kept)
    dry = ("--dry-run", "--run", tmp_path / "r")
    assert "learning_rate" in refused("train", "tour-vae", "--set", "train.learning_rate=nan", *dry)
    assert "did you mean 'steps'" in refused("train", "tour-vae", "--set", "train.step=5", *dry)
    assert "multiple of 4" in refused("train", "fashion-enhance", "--set", "data.size=30", *dry)
    assert "restore" in refused("train", "fashion-enhance", *DIGITS, "--set", "data.by_class=true", *dry)
    assert "VAE" in refused("train", "tour-vae", "--set", "data.by_class=false", "--set", "data.restore=true", *dry)
    assert "fashion-diffusion" in refused("train", "fashion-difusion", *dry)
    assert "no such folder" in refused("train", "mnist-diffusion", "--data", tmp_path / "nowhere", *dry)


def test_a_folder_takes_the_place_of_any_recipes_data(tmp_path, photo, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(20):
        turned = open_image(photo).rotate(18 * index, Image.Resampling.BILINEAR)
        turned.save(folder / f"{index}.png")
    succeed(app, "train", "mnist-diffusion", "--data", folder, "--set", "data.by_class=false", "--dry-run")
    assert "17 training" in capsys.readouterr().out
