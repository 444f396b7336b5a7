"""Images: the codec, four families that learn digits, measures, and clear refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed
from PIL import Image

from apps.image import metrics
from apps.image.cli import app
from apps.image.codec import ImageCodec, from_version_0_1_0
from apps.image.data import ImageData, labels, prepare
from apps.image.domain import DOMAIN
from apps.image.metrics import classifier, feature_space
from apps.image.recipes import tour_autoregressive, tour_diffusion, tour_gan, tour_vae
from apps.image.sources import open_image
from core.errors import FourfoldError
from core.families import AutoregressiveConfig
from core.metrics.frechet import frechet_distance
from core.metrics.gaussian import FittedGaussian
from core.networks import TransformerConfig
from core.runs.domain import Prepared
from core.runs.measures import Measure, verdict
from core.runs.pretrained import build
from core.serialization import from_dict, to_dict
from core.training.loop import train

CPU = torch.device("cpu")


def folder_of(root: Path, classes: dict[str, int], mode: str = "RGB", size: tuple[int, int] = (20, 14)) -> Path:
    """A folder with so many random pictures of each class."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
            Image.fromarray(pixels, "RGBA").convert(mode).save(root / name / f"{index}.png")
    return root


def test_images_survive_the_codec():
    codec = ImageCodec(shape=(3, 5, 7))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    (again,) = codec.decode(codec.encode([Image.fromarray(pixels)]))
    np.testing.assert_array_equal(np.asarray(again), pixels)


def test_the_digits_codec_keeps_seventeen_levels():
    prepared = prepare(ImageData())
    x = prepared.test.batch(np.arange(50))
    again = prepared.codec.encode(prepared.codec.decode(x))
    torch.testing.assert_close(again.x, x.x)
    assert x.x.unique().numel() == 17 and x.x.min() == -1 and x.x.max() == 1


def test_a_codec_is_stored_as_its_fields():
    codec = ImageCodec(shape=(1, 8, 8), levels=17, class_names=("cat", "dog"), words=("cat", "dog"), caption_length=4)
    assert from_dict(ImageCodec, json.loads(json.dumps(to_dict(codec))), "codec") == codec
    old = {"shape": [1, 8, 8], "levels": 256, "class_names": []}  # from before there were captions and enhancement
    assert from_dict(ImageCodec, from_version_0_1_0(old), "codec") == ImageCodec(shape=(1, 8, 8))


@pytest.mark.parametrize(("field", "value"), [
    ("shape", (2, 8, 8)), ("shape", (1, 0, 8)), ("levels", 1), ("levels", 257), ("caption_length", 0),
])
def test_codecs_that_make_no_sense_are_refused(field, value):
    with pytest.raises(FourfoldError, match=field):
        ImageCodec(**{"shape": (1, 8, 8), "words": ("cat",), "caption_length": 4, field: value})


@pytest.mark.parametrize(("mode", "expected"), [("I;16", 128), ("RGBA", 255), ("LA", 255), ("P", 200), ("1", 255)])
def test_unusual_modes_are_read_as_a_viewer_shows_them(tmp_path, mode, expected):
    if mode == "I;16":
        picture = Image.fromarray(np.full((8, 8), 128 * 257, dtype=np.uint16))
    elif mode in ("RGBA", "LA"):
        picture = Image.new(mode, (8, 8), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))  # all transparent: white
    else:
        picture = Image.new("L", (8, 8), expected).convert(mode)
    picture.save(tmp_path / "x.png")
    levels = ImageCodec(shape=(1, 8, 8)).to_levels(open_image(tmp_path / "x.png"))
    assert abs(int(levels.mean()) - expected) <= 1


def test_an_animation_counts_as_its_first_frame(tmp_path, caplog):
    frames = [Image.new("L", (8, 8), value) for value in (50, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with caplog.at_level("WARNING"):
        picture = open_image(tmp_path / "x.gif")
    assert caplog.messages == ["x.gif: an animation or several pages, of which the first counts"]
    assert abs(int(ImageCodec(shape=(1, 8, 8)).to_levels(picture).mean()) - 50) <= 1


def test_sub_folders_are_classes(tmp_path):
    folder = folder_of(tmp_path / "pets", {"cat": 12, "dog": 20})
    data = ImageData(source="folder", folder=str(folder), size=12, color=True, by_class=True)
    prepared = prepare(data)
    assert prepared.codec.class_names == ("cat", "dog")
    assert prepared.codec.space.shape == (3, 12, 12)
    assert len(prepared.train) + len(prepared.validation) + len(prepared.test) == 32
    assert sum(len(y) for y in labels(data).values()) == 32


def test_digits_splits_do_not_overlap():
    prepared = prepare(ImageData())
    assert (len(prepared.train), len(prepared.validation), len(prepared.test)) == (1297, 100, 400)
    # Equal pictures exist in the data itself, but hardly any.
    train = {x.tobytes() for x in np.asarray(prepared.train.x)}
    assert np.mean([x.tobytes() in train for x in np.asarray(prepared.test.x)]) < 0.02


def quality(model, prepared) -> tuple[float, float]:
    """Fréchet distance to the test digits, and how often the class asked for is the class drawn."""
    wanted = np.arange(400) % 10
    drawn = model.sample_batch(400, condition={"class": torch.from_numpy(wanted)}).x.numpy()
    _, features = feature_space(model, prepared)
    test = prepared.test.batch(np.arange(400)).x.numpy()
    accuracy = classifier(model.recipe.data, prepared).accuracy(drawn, wanted)
    return frechet_distance(features(test), features(drawn)), accuracy


@pytest.mark.slow
@pytest.mark.parametrize(("make", "steps"), [
    (tour_vae, 150), (tour_gan, 500), (tour_diffusion, 80), (tour_autoregressive, 120),
])
def test_each_family_learns_digits(make, steps, tmp_path):
    recipe = make()
    recipe = replace(recipe, train=replace(recipe.train, steps=steps, learning_rate=2 * recipe.train.learning_rate))
    if isinstance(recipe.family, AutoregressiveConfig):  # cheaper attention for a test
        recipe = replace(recipe, family=replace(recipe.family, model=TransformerConfig(width=64, depth=2, heads=2)))
    prepared = prepare(recipe.data)
    _, features = feature_space(build(DOMAIN, recipe, prepared.codec, CPU), prepared)
    train_x, test_x = (split.batch(np.arange(len(split))).x.numpy() for split in (prepared.train, prepared.test))
    baseline = frechet_distance(features(test_x), features(FittedGaussian.fit(train_x, levels=17).sample(400)))
    model = build(DOMAIN, recipe, prepared.codec, CPU)
    distance, accuracy = quality(model, prepared)
    assert distance > baseline and accuracy < 0.3  # untrained
    train(model.family, prepared.train, recipe.train, tmp_path, seed=0)
    distance, accuracy = quality(model, prepared)
    assert distance < baseline and accuracy > 0.4


def test_copies_of_any_training_picture_are_seen(monkeypatch):
    monkeypatch.setattr(metrics, "LARGEST", 200)  # distances read few images here; copies are looked for in all
    prepared = prepare(ImageData())
    last = prepared.train.batch(np.arange(len(prepared.train) - 300, len(prepared.train))).x.numpy()
    held = prepared.test.batch(np.arange(300)).x.numpy()

    def share(x: np.ndarray) -> float:
        found = metrics.distances("pixels", lambda x: x.reshape(len(x), -1)[:, ::4], x, prepared, 100, 0)
        return next(m.value for m in found if m.name == "near_copies_of_training")

    assert share(last) == 1 and share(held) < 0.15


def twins(prepared: Prepared[ImageCodec], share: float) -> Prepared[ImageCodec]:
    """The data with a share of test pictures replaced by training pictures, a level off at places."""
    x, random = np.array(prepared.test.x), np.random.default_rng(0)
    rows = random.permutation(len(x))[: round(share * len(x))]
    copies = np.asarray(prepared.train.x)[random.integers(0, len(prepared.train), len(rows))].astype(np.int64)
    x[rows] = (copies + random.integers(-1, 2, copies.shape)).clip(0, prepared.codec.levels - 1)
    return replace(prepared, test=replace(prepared.test, x=x))


def of_samples(x: np.ndarray, prepared: Prepared[ImageCodec], n: int = 300) -> dict[str, Measure]:
    found = metrics.distances("pixels", lambda x: x.reshape(len(x), -1)[:, ::4], x[:n], prepared, n, 0)
    return {m.name: m for m in found}


@pytest.mark.parametrize("share", [0.06, 0.2])
def test_training_pictures_as_samples_are_called_memorized_where_data_hold_twins(share):
    prepared = prepare(ImageData())
    data = twins(prepared, share)
    copies = of_samples(prepared.train.batch(np.arange(300)).x.numpy(), data)["near_copies_of_training"]
    assert copies.copied and copies.value == 1 and "held-out copies of training data: " in copies.remark
    honest = of_samples(prepared.validation.batch(np.arange(100)).x.numpy(), data, 100)["near_copies_of_training"]
    assert honest.floor is not None and not honest.copied


def test_a_gaussian_more_precise_than_real_pictures_is_no_baseline(monkeypatch):
    prepared = prepare(ImageData())
    real = prepared.validation.batch(np.arange(100)).x.numpy()

    class Narrow(FittedGaussian):
        def sample(self, n: int, seed: int = 0) -> np.ndarray:
            return np.repeat(prepared.test.batch([0]).x.numpy(), n, axis=0)

    assert of_samples(real, prepared, 100)["fd_pixels"].beats_baseline
    monkeypatch.setattr(metrics, "FittedGaussian", Narrow)
    found = of_samples(real, prepared, 100)
    assert found["precision"].baseline is None and "no baseline: fitted Gaussian has 1" in found["precision"].remark
    assert found["coverage"].baseline is not None and found["fd_pixels"].floor_is == "least"


def test_the_floor_is_of_as_many_pictures_as_are_measured(monkeypatch):
    prepared, sizes = prepare(ImageData()), []

    def measured(real: np.ndarray, other: np.ndarray) -> float:
        sizes.append(len(other))
        return frechet_distance(real, other)

    few = replace(prepared, train=prepared.train.subset(slice(0, 150)))
    monkeypatch.setattr(metrics, "frechet_distance", measured)
    monkeypatch.setattr(metrics, "bootstrap", lambda *arrays, **settings: (0.0, 0.0))
    found = of_samples(prepared.test.batch(np.arange(300)).x.numpy(), few)
    assert set(sizes) == {150} and found["fd_pixels"].count == 150
    assert "of 150 of 300 samples" in found["fd_pixels"].remark
    assert found["near_copies_of_training"].count == 300


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_the_likelihood_of_training_pictures_stands_beside(gap, monkeypatch):
    recipe = tour_vae()
    prepared = prepare(recipe.data)
    model = build(DOMAIN, recipe, prepared.codec, CPU)

    def bound(self, data, count, **settings):
        return torch.full((count,), 100.0 * (1 - gap * (data is prepared.train)), dtype=torch.float64)

    monkeypatch.setattr(type(model), "bound", bound)
    found = metrics._bits(model, prepared, "bound", 100, 0)
    assert found.count == 100 and "training data's is of 32 images" in verdict(found).words
    assert found.train_value == pytest.approx(found.value * (1 - gap))
    assert found.overfitted is (gap > 0) and ("far below: overfitted" in verdict(found).words) is (gap > 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hardly trained VAE, through the command line."""
    folder = tmp_path_factory.mktemp("runs") / "vae"
    succeed(app, "train", "tour-vae", "--run", folder, "--set", "train.steps=2")
    return folder


def damaged(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.parent


def folder_with(tmp_path: Path, name: str, content: bytes) -> Path:
    folder = folder_of(tmp_path / "pictures", {"": 12})
    (folder / name).write_bytes(content)
    return folder


def png(tmp_path: Path) -> bytes:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "whole.png")
    return (tmp_path / "whole.png").read_bytes()


TRAIN = ("train", "folder-vae", "--dry-run")


def test_damaged_and_missing_pictures_are_named(refused, tmp_path):
    whole = png(tmp_path)
    for name, content in {"a.png": b"", "b.png": b"no picture", "c.png": whole[:-40], "d.jpg": b"\xff\xd8\xff"}.items():
        folder = folder_with(tmp_path / name, name, content)
        line = refused(*TRAIN, "--data", folder)
        assert name in line and "remove or replace" in line
    (tmp_path / "empty").mkdir()
    assert "holds no file of the kinds .png" in refused(*TRAIN, "--data", tmp_path / "empty")
    assert "1 images" in refused(*TRAIN, "--data", damaged(tmp_path / "one" / "x.png", whole))
    assert "no such" in refused(*TRAIN, "--data", tmp_path / "nowhere")
    assert "not a folder" in refused(*TRAIN, "--data", tmp_path / "whole.png")


def test_measures_need_held_out_pictures(refused, tmp_path):
    folder = folder_of(tmp_path / "few", {"": 12})
    succeed(app, "train", "folder-gan", "--data", folder, "--run", tmp_path / "run", "--set", "train.steps=1",
            "--set", "train.batch_size=2", "--set", "data.size=8")
    assert "held-out images" in refused("evaluate", tmp_path / "run")


def test_impossible_recipes_are_refused(refused, tmp_path):
    folder = folder_of(tmp_path / "flat", {"": 12})
    assert "classes" in refused(*TRAIN, "--data", folder, "--set", "data.by_class=true")
    assert "data.size" in refused("train", "tour-vae", "--set", "data.size=2")
    assert "digits, mnist, fashion, folder" in refused("train", "tour-vae", "--set", "data.source=digit")
    assert "levels" in refused("train", "tour-vae", "--set", "family.likelihood.levels=4")
    assert "bins" in refused("train", "tour-autoregressive", "--set", "family.quantizer.bins=4")


def test_mistaken_requests_of_a_model_are_refused(refused, run, tmp_path):
    assert "'77'" in refused("sample", run, "--class", "77", "-o", tmp_path / "o")
    assert "temperature" in refused("sample", run, "--temperature", "-1", "-o", tmp_path / "o")
    assert "guidance" in refused("sample", run, "--guidance", "2", "-o", tmp_path / "o")
    codec = run / "model" / "codec.json"
    kept = codec.read_bytes()
    try:
        codec.write_bytes(b"{")
        assert "codec" in refused("sample", run, "-o", tmp_path / "o")
    finally:
        codec.write_bytes(kept)
