"""Fine-tuning in each domain: few examples of one's own are modelled better by what was trained on others before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from apps import audio, image, molecules, robotics, text
from apps.audio.codec import ChoraleCodec
from apps.audio.data import MUSIC, ChoraleData, read_chorales
from apps.audio.scores import Score, midi_bytes
from apps.image.codec import ImageCodec
from apps.image.data import ImageData
from apps.molecules.codec import SmilesCodec
from apps.molecules.data import MoleculeData, moses_files
from apps.robotics.model import RoboticsData
from apps.robotics.observations import Layout
from apps.text import sources
from apps.text.text_data import TextData
from apps.text.tokenizers import Characters, Pieces, extended, fit, made_of
from core.data.folders import find_files
from core.data.sources import package_files
from core.data.tables import each_line
from core.errors import FourfoldError
from core.families import AutoregressiveConfig, ConditioningConfig, DiffusionConfig
from core.families.family import FamilyConfig
from core.networks import MLPConfig, TransformerConfig, UNetConfig
from core.runs.recipe import Recipe
from core.runs.run import Run
from core.runs.run import train as fit_run
from core.runs.tuning import tuned_recipe
from core.training.config import TrainConfig
from core.training.log import read_log

NARROW = ConditioningConfig(width=16)
WRITER = AutoregressiveConfig(model=TransformerConfig(width=48, depth=2, heads=2), conditioning=NARROW)


def small(domain: Any, data: Any, family: FamilyConfig, **train: Any) -> Recipe[Any]:
    """A small recipe."""
    usual: dict[str, Any] = {"batch_size": 32, "learning_rate": 5e-3, "optimizer": "muon", "ema_decay": 0.9}
    return Recipe(name="small", domain=domain.name, data=data, family=family, train=TrainConfig(**usual | train))


def held_out(run: Run) -> float:
    """The least loss of held-out examples."""
    return min(event["validation"]["loss"] for event in read_log(run.folder) if "validation" in event)


def compared(domain: Any, recipe: Recipe[Any], mine: Path, home: Path, steps: int) -> tuple[float, float]:
    """Train `recipe`, then on one's own data from it and from nothing, so many steps each: the two held-out losses."""
    quiet = replace(domain, write=lambda items, folder: [], preview=lambda items: [], draw=None)
    assert fit_run(quiet, recipe, Run(home / "source")).finished
    assigned = [f"train.steps={steps}", "train.validations=4"]
    tuned, prepared, _ = tuned_recipe(quiet, str(home / "source"), mine, Run(home / "tuned"), assigned)
    assert prepared is not None
    count = len(prepared.train) // getattr(recipe.data, "length", 1)  # windows of a stream overlap
    assert 50 <= count <= 300
    fit_run(quiet, tuned, Run(home / "tuned"), prepared=prepared)
    alone = replace(tuned, start=None, train=replace(
        tuned.train, learning_rate=recipe.train.learning_rate, warmup=recipe.train.warmup))
    fit_run(quiet, alone, Run(home / "alone"), prepared=prepared)
    return held_out(Run(home / "tuned")), held_out(Run(home / "alone"))


def digits(folder: Path, kinds: Iterable[int], most: int) -> Path:
    """A folder of pictures, by class."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for kind in kinds:
        (folder / str(kind)).mkdir(parents=True)
        for index in np.flatnonzero(found.target == kind)[:most]:
            levels = (found.images[index] * 255 / 16).astype(np.uint8)
            Image.fromarray(levels).save(folder / str(kind) / f"{index}.png")
    return folder


def test_digits_help_with_other_digits(tmp_path: Path) -> None:
    before, after = digits(tmp_path / "a", range(7), 150), digits(tmp_path / "b", (6, 7, 8, 9), 80)
    family = DiffusionConfig(denoiser=MLPConfig(width=96, depth=2), conditioning=NARROW)
    data = ImageData(source="folder", folder=str(before), size=8, by_class=True)
    tuned, alone = compared(image.DOMAIN, small(image.DOMAIN, data, family, steps=250), after, tmp_path, 40)
    model = image.load(tmp_path / "tuned")
    assert model.codec.class_names == ("6", "7", "8", "9")
    assert tuned < 0.8 * alone, (tuned, alone)


def test_plays_help_with_another_play(tmp_path: Path) -> None:
    plays = sources.documents(TextData(source="shakespeare"))["train"]
    (tmp_path / "plays.txt").write_text("\n".join(plays[:2]))
    (tmp_path / "mine.txt").write_text("→ " + plays[3][5000:11_000])
    data = TextData(folder=str(tmp_path / "plays.txt"), source="folder", length=32)
    recipe = small(text.DOMAIN, data, WRITER, steps=180)
    tuned, alone = compared(text.DOMAIN, recipe, tmp_path / "mine.txt", tmp_path, 40)
    before, after = (text.load(tmp_path / name).codec.tokenizer for name in ("source", "tuned"))
    assert isinstance(before, Characters) and isinstance(after, Characters)
    assert after.alphabet == before.alphabet + "→"
    assert tuned < 0.8 * alone, (tuned, alone)


def test_molecules_help_with_other_molecules(tmp_path: Path) -> None:
    rows = [row.partition(",")[0] for _, row in islice(each_line(moses_files()[0]), 1, 1801)]
    (tmp_path / "many.smi").write_text("\n".join(rows[:1500]))
    (tmp_path / "mine.smi").write_text("\n".join([f"{row}.[Na+]" if i % 5 == 0 else row
                                                  for i, row in enumerate(rows[1500:])]))
    data = MoleculeData(folder=str(tmp_path / "many.smi"), merges=20)
    recipe = small(molecules.DOMAIN, data, WRITER, steps=200)
    tuned, alone = compared(molecules.DOMAIN, recipe, tmp_path / "mine.smi", tmp_path, 40)
    before, after = (molecules.load(tmp_path / name).codec for name in ("source", "tuned"))
    assert set(after.tokens) - set(before.tokens) == {"[Na+]", "."} - set(before.tokens)
    assert len(after.merges) == len(before.merges) == 20
    for smiles in rows[:50]:
        ids = [codec.tokens[i - 1] for codec in (before, after) for i in codec.encode([smiles]).x[0, :-1].tolist()]
        assert ids[: len(ids) // 2] == ids[len(ids) // 2 :], "the same tokens"
    assert tuned < 0.8 * alone, (tuned, alone)


def test_chorales_help_with_other_chorales(tmp_path: Path) -> None:
    root = package_files("music21", "10.5.1") / "corpus" / "bach"
    pieces = [piece for part in read_chorales(find_files(root, MUSIC), 4)[0].values() for piece in part]
    for folder, some, octave in (("many", pieces[:60], 0), ("mine", pieces[60:66], 12)):
        (tmp_path / folder).mkdir()
        for index, piece in enumerate(some):
            raised = np.where(piece.pitches > 0, piece.pitches + octave * (index == 0), 0).astype(np.int16)
            (tmp_path / folder / f"{index}.mid").write_bytes(midi_bytes(Score(raised, piece.struck, 4)))
    data = ChoraleData(folder=str(tmp_path / "many"), beats=8, transpose=False)
    recipe = small(audio.DOMAIN, data, WRITER, steps=120, learning_rate=1e-2)
    tuned, alone = compared(audio.DOMAIN, recipe, tmp_path / "mine", tmp_path, 40)
    before, after = (audio.load(tmp_path / name).codec for name in ("source", "tuned"))
    assert isinstance(before, ChoraleCodec) and isinstance(after, ChoraleCodec)
    assert after.low <= before.low and after.high > before.high
    assert tuned < 0.85 * alone, (tuned, alone)


def test_demonstrations_help_with_other_demonstrations(tmp_path: Path) -> None:
    for name, count, noise, seed in (("many", 150, 0.3, 0), ("mine", 14, 0.1, 1)):
        robotics.collect("planar", count, noise=noise, seed=seed).save(tmp_path / f"{name}.npz")
    family = DiffusionConfig(denoiser=MLPConfig(width=64, depth=2), conditioning=NARROW)
    data = RoboticsData(folder=str(tmp_path / "many.npz"))
    recipe = small(robotics.DOMAIN, data, family, steps=200, batch_size=64)
    tuned, alone = compared(robotics.DOMAIN, recipe, tmp_path / "mine.npz", tmp_path, 60)
    assert tuned < 0.8 * alone, (tuned, alone)


# ------------------------------------------------------------------------------------------------- codecs that grow


def test_pieces_of_words_keep_their_ids_and_frequent_strangers_get_their_own() -> None:
    old = fit("unigram", ["the cat sat on the mat. " * 20, "a dog ran to the cat. " * 20], 272)
    assert isinstance(old, Pieces)
    new = extended(old, ["the cat → the dog ☃ " * 50, "ż"])
    assert isinstance(new, Pieces) and new.added == "→☃ż"[: len(new.added)] and new.added.startswith("→☃")
    written = "the cat → a dog ☃ ran ▁ \0 ű"
    assert new.decode(new.encode(written)) == written and new.encode("the cat") == old.encode("the cat")
    assert len(new.encode("→")) == 1 < len(old.encode("→"))
    rows = made_of(new, old)
    assert len(rows) == new.size and rows[old.size] == tuple(old.encode("→"))
    assert extended(new, ["the cat → the dog ☃ " * 50]) == new


def test_characters_keep_their_rows_and_new_ones_begin_as_what_spelled_them() -> None:
    old = Characters("abc")
    new = extended(old, ["abz", "é"])
    assert new == Characters("abczé") and extended(new, ["az"]) == new
    assert made_of(new, old)[:4] == [(0,), (1,), (2,), (3 + 7, 3 + 10)]  # z is 0x7a
    assert made_of(new, old)[5:] == [(3 + half,) for half in range(16)]


def test_new_tokens_of_molecules_stand_before_the_merged_ones() -> None:
    one = (0.0, 1.0)
    old = SmilesCodec(tokens=("C", "n", "O", "CC", "CCO"), merges=((1, 1), (4, 3)), length_histogram=one)
    new = SmilesCodec(tokens=("C", "n", "O", "[nH+]", "+", "CC", "CCO"), merges=((1, 1), (6, 3)), length_histogram=one)
    assert list(new.made_of(old)["tokens"]) == [(0,), (1,), (2,), (3,), (2,), (), (4,), (5,)]


def test_a_new_pitch_begins_an_octave_away() -> None:
    old, new = (ChoraleCodec(beats=4, steps_per_beat=1, low=low, high=high) for low, high in ((60, 71), (59, 73)))
    assert list(new.made_of(old)["tokens"]) == [(0,), (1,), (13,), *((2 + i,) for i in range(12)), (2,), (3,)]


def test_colours_of_pictures_and_words_of_captions() -> None:
    old = ImageCodec(shape=(1, 8, 8), words=("a", "cat"), caption_length=2)
    new = ImageCodec(shape=(4, 8, 8), words=("cat", "dog"), caption_length=3)
    assert dict(new.made_of(old)) == {"channels": [(0,), (0,), (0,), ()], "prompt": [(1,), (), (2,)]}
    assert list(old.made_of(new)["channels"]) == [(0, 1, 2)]


def test_actions_keep_their_range_where_it_suffices() -> None:
    task, names = "planar", (Layout.plain("a"), Layout.plain("dx", "dy"))
    seen, moves = np.zeros((4, 1), np.float32), np.array([[-1, 0.5], [1, 0.7], [0, 0], [0, 0]], np.float32)
    codec = robotics.DOMAIN.codec_types[0]
    old, new = codec.fit(task, 1, 8, names, seen, 2 * moves), codec.fit(task, 1, 8, names, seen, moves)
    assert new.within(old).low == old.low and new.within(old).high == old.high and old.within(new) == old


@pytest.mark.parametrize(("size", "color"), [(16, False), (8, True)])
def test_pictures_of_another_size_or_colour_begin_with_what_fits(
    tmp_path: Path, size: int, color: bool, caplog: pytest.LogCaptureFixture
) -> None:
    family = DiffusionConfig(denoiser=UNetConfig(width=8, multipliers=(1, 2)), conditioning=NARROW)
    recipe = small(image.DOMAIN, ImageData(), family, steps=2, validations=0)
    fit_run(image.DOMAIN, recipe, Run(tmp_path / "source"))
    mine = digits(tmp_path / "mine", (1, 2), 20)
    model = image.train(mine, start=tmp_path / "source", run=tmp_path / "tuned", settings={
        "data.size": size, "data.color": color, "train.steps": 2})
    assert model.codec.shape == (3 if color else 1, size, size) and model.codec.levels == 17
    line = next(message for message in caplog.messages if "weights kept" in message)
    assert "anew: conditioner" in line and "embeddings.class" in line  # the model knew no classes
    assert torch.isfinite(model.sample_batch(2).x).all()


def test_what_cannot_be_a_beginning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FourfoldError, match="leave it out"):
        text.train(["one", "two"], start="shakespeare", family="vae")
    with pytest.raises(FourfoldError, match="no such run"):
        text.train(["one text", "and two"] * 30, start=tmp_path / "nothing", run=tmp_path / "run")
