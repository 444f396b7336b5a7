"""Training from Python on what a user holds in memory: what is taken, what is refused, and that a run results."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from apps import audio, image, molecules, robotics, text
from apps.image.learning import to_image
from core.data.tables import read_lines
from core.errors import FourfoldError
from core.runs.run import Run, evaluate

SHORT = {"train.steps": 2, "train.validations": 0}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def squares(n: int = 60, channels: int = 3) -> np.ndarray:
    """Pictures `[n, 8, 8, channels]` of noise in two brightnesses, all different."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 100, (n, 8, 8, channels), np.uint8) + 120 * (np.arange(n) % 2)[:, None, None, None].astype(
        np.uint8)


def test_an_array_of_pictures_makes_a_model_and_a_run(tmp_path: Path) -> None:
    labels = ["dark", "bright"] * 30
    model = image.train(squares(), labels=labels, settings=SHORT)
    drawn = model.sample(3, condition={"class": "bright"})
    assert [picture.size for picture in drawn] == [(8, 8)] * 3 and drawn[0].mode == "RGB"
    assert len(model.sample(2, condition={"class": ["dark", "bright"]})) == 2
    (run,) = (tmp_path / "runs" / "image").iterdir()
    assert {path.name for path in (run / "data").iterdir()} == {"dark", "bright"}
    with Image.open(run / "data" / "dark" / "0000000.png") as kept:
        assert np.array_equal(np.asarray(kept), squares()[0])  # without loss
    weights = (run / "model" / "model.safetensors").stat().st_mtime_ns
    again = image.train(squares(), labels=labels, settings=SHORT)  # is finished: loaded
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns >= weights
    assert again.recipe == model.recipe and len(list((tmp_path / "runs" / "image").iterdir())) == 1
    for ours, theirs in zip(again.family.parameters(), model.family.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_other_data_in_a_run_folder_are_refused(tmp_path: Path) -> None:
    image.train(squares(), run=tmp_path / "mine", family="vae", settings=SHORT)
    with pytest.raises(FourfoldError, match="holds other data"):
        image.train(squares(59), run=tmp_path / "mine", family="vae", settings=SHORT)


def test_pictures_are_read_by_type_never_by_maximum() -> None:
    grey = np.full((4, 4), 0.5)
    assert set(to_image(grey).tobytes()) == {128} and to_image(grey > 0).tobytes() == bytes([255] * 16)
    assert to_image(np.ones((4, 4), np.uint8)).tobytes() == bytes([1] * 16)
    assert to_image(torch.zeros(3, 4, 5)).size == (5, 4)  # channels first
    for wrong in (grey * 255, grey - 1, np.ones((4, 4), np.int64), np.zeros((2, 2, 2, 2)), "none.png", object()):
        with pytest.raises(FourfoldError):
            to_image(wrong)


class Table:
    """What `datasets` hands over: rows as dicts, and names for classes that are stored as numbers."""

    class Feature:
        names = ("cat", "dog")

    features = {"label": Feature, "image": None}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index, picture in enumerate(squares()):
            yield {"id": index, "image": Image.fromarray(picture), "label": index % 2}


def test_tables_of_datasets_are_taken_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    model = image.train(Table(), settings=SHORT)
    assert model.codec.class_names == ("cat", "dog")
    assert "pictures from the column 'image', labels from the column 'label'; left out: id" in caplog.text
    with pytest.raises(FourfoldError, match="no column of pictures: there are photo"):
        image.train([{"photo": 1}])
    with pytest.raises(FourfoldError, match="not as many labels"):
        image.train(squares(), labels=["a"])
    with pytest.raises(FourfoldError, match="no items"):
        image.train([])


def test_transparent_pictures_stay_so_and_are_measured(tmp_path: Path) -> None:
    pictures = squares(120, 4)
    pictures[:, :, :4, 3], pictures[:, :, 4:, 3] = 0, 255
    model = image.train(pictures, run=tmp_path / "mine", family="vae", settings=SHORT)
    assert model.codec.shape == (4, 8, 8) and model.sample(1)[0].mode == "RGBA"
    back = model.codec.decode(model.codec.encode([Image.fromarray(pictures[0])]))[0]
    assert np.array_equal(np.asarray(back)[:, 4:], pictures[0][:, 4:])
    assert np.asarray(back)[:, :4, 3].max() == 0
    sheet = image.grid([Image.new("RGBA", (8, 8), (0, 0, 0, 0))])
    assert sheet.mode == "RGB" and {204, 255} <= set(np.asarray(sheet).ravel().tolist())  # a checkerboard
    measures = {measure.name: measure for measure in evaluate(image.DOMAIN, Run(tmp_path / "mine"), n=16)}
    assert measures["fd_pixels_pca"].baseline is not None and np.isfinite(measures["fd_pixels_pca"].value)


def test_captions_are_conditions() -> None:
    captions = ["a dark square", "a bright square"] * 30
    model = image.train(squares(), captions=captions, settings=SHORT)
    assert model.codec.words == ("a", "bright", "dark", "square")
    assert len(model.sample(2, condition={"prompt": "bright"})) == 2


def test_texts_with_labels(tmp_path: Path) -> None:
    texts = [f"{'a good' if i % 2 else 'a bad'} film, number {i}" for i in range(200)]
    model = text.train(texts, labels=["pos" if i % 2 else "neg" for i in range(200)], settings=SHORT)
    assert model.codec.label_names == ("neg", "pos") and model.recipe.data.unit == "document"
    assert len(model.sample(3, condition={"label": "pos"})) == 3
    assert text.generate(model, "a ", label="neg")[0].startswith("a ")


def test_chats_are_answered() -> None:
    chats = [[{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": f"{i}!"}] for i in range(200)]
    model = text.train(chats, settings=SHORT)
    pieces: list[str] = []
    answer = text.reply(model, "say 7", length=20, stream=pieces.append)
    assert "".join(pieces).strip().startswith(answer) and "USER:" not in answer
    assert text.reply(model, [*chats[0], {"role": "user", "content": "say 1"}], length=5) is not None
    with pytest.raises(FourfoldError, match="no folder or file"):
        text.train("To be or not to be")


def test_pairs_of_texts() -> None:
    model = text.train([(str(i), str(i)[::-1]) for i in range(1000, 1300)], settings=SHORT)
    assert len(text.translate(model, ["1234"])) == 1


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    from apps.molecules.data import moses_files

    return [line.partition(",")[0] for _, line in read_lines(moses_files()[0])[1:301]]


def test_molecules_with_columns_of_their_own(smiles: list[str], caplog: pytest.LogCaptureFixture) -> None:
    activity = [len(one) / 10 for one in smiles]
    activity[5] = ""  # type: ignore[call-overload]
    model = molecules.train(smiles, columns={"activity": activity, "kind": ["ring" if "1" in one else "chain"
                            for one in smiles]}, condition_on=["logp", "activity", "kind"], settings=SHORT)
    spec = model.codec.properties
    assert spec is not None and spec.names == ("logp", "activity") and model.codec.class_names[-1] == "ring"
    assert "1 molecules left out: they lack a value" in caplog.text
    prepared = molecules.DOMAIN.prepare(model.recipe.data)
    batch = prepared.train.batch(range(50))
    values = batch.condition["property"][:, 1].numpy() * spec.std[1] + spec.mean[1]
    for one, value, kind in zip(prepared.codec.decode(batch), values, batch.condition["class"], strict=True):
        assert abs(len(one) / 10 - value) < 0.35  # canonical SMILES are about as long as those of MOSES
        assert model.codec.class_names[int(kind)] == ("ring" if "1" in one else "chain")
    assert len(model.sample(2, condition={"property": "logp=1,activity=3", "class": "ring"})) == 2


def test_demonstrations(tmp_path: Path) -> None:
    model = robotics.train(robotics.collect("planar", 20, seed=0), settings=SHORT)
    assert model.recipe.data.task == "planar" and len(robotics.rollout(model, 2)) == 2


def test_sounds_and_scores() -> None:
    time = np.arange(4000) / 16000
    rng = np.random.default_rng(0)
    sounds = [np.sin(2 * np.pi * (200 + 37 * i) * time) * np.exp(-(5 + i) * time) * rng.uniform(0.5, 1)
              for i in range(40)]
    small = SHORT | {"data.mel.mels": 16, "data.mel.frames": 8}
    model = audio.train(sounds, rate=16000, labels=["low"] * 20 + ["high"] * 20, settings=small)
    assert len(model.sample(2, condition={"instrument": "low"})) == 2
    rows = [{"audio": {"array": sound, "sampling_rate": 16000}} for sound in sounds]
    assert not audio.train(rows, family="vae", settings=small).codec.conditions
    with pytest.raises(FourfoldError, match="sound 0 has no rate"):
        audio.train(sounds)


@pytest.mark.parametrize("form", ["captions.jsonl", "metadata.jsonl", "metadata.csv", "beside"])
def test_captions_are_found_where_people_keep_them(tmp_path: Path, form: str) -> None:
    for index, picture in enumerate(squares(20)):
        Image.fromarray(picture).save(tmp_path / f"{index:02d}.png")
    words = {f"{index:02d}.png": "a bright square" if index % 2 else "a dark square" for index in range(20)}
    if form == "beside":
        for name, caption in words.items():
            (tmp_path / name).with_suffix(".txt").write_text(caption + "\n")
    elif form == "metadata.csv":
        (tmp_path / form).write_text("\n".join(["file_name,text", *(f"{a},{b}" for a, b in words.items())]))
    else:
        keys = ("file", "caption") if form == "captions.jsonl" else ("file_name", "text")
        (tmp_path / form).write_text("\n".join(f'{{"{keys[0]}": "{a}", "{keys[1]}": "{b}"}}' for a, b in words.items()))
    data = image.DOMAIN.guess(tmp_path)
    assert data.by_caption
    prepared = image.prepare(data)
    assert prepared.codec.words == ("a", "bright", "dark", "square")
    for rows in (prepared.train, prepared.test):
        batch = rows.batch(range(len(rows)))
        bright = (batch.condition["prompt"] == 1).any(1)  # "bright" is word 1; training leaves some words out
        dark = (batch.condition["prompt"] == 2).any(1)
        levels = batch.x.mean((1, 2, 3))
        assert (levels[bright] > -0.1).all() and (levels[dark] < -0.1).all() and (bright | dark).any()
    (tmp_path / "21.png").write_bytes((tmp_path / "00.png").read_bytes())
    with pytest.raises(FourfoldError, match=r"no caption for '21\.png'"):
        image.prepare(data)
