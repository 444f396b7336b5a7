"""Recipes made for a user's own data: what the data are taken for, and that all four families can learn from them."""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from command_line import succeed
from PIL import Image, ImageDraw

from apps import robotics
from apps.image.cli import app
from apps.molecules.data import moses_files
from core.data.tables import read_lines
from core.runs.pretrained import build
from core.runs.sizing import FAMILIES, propose


def sprites(home: Path) -> Path:
    """Circles on transparent ground."""
    for index in range(60):
        draws = random.Random(index)
        picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
        at, color = draws.randrange(1, 6), tuple(draws.randrange(256) for _ in range(3))
        ImageDraw.Draw(picture).ellipse((at, at, at + draws.randrange(5, 9), at + 8), fill=color)
        picture.save(home / f"{index:03d}.png")
    return home


def photos(home: Path) -> Path:
    """Larger than what is read, in classes."""
    for index in range(60):
        (home / f"kind{index % 2}").mkdir(exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 255, (9, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((100, 90)).save(home / f"kind{index % 2}" / f"{index}.jpg")
    return home


def names(home: Path) -> Path:
    draws = random.Random(0)
    path = home / "names.txt"
    path.write_text("\n".join({"".join(draws.choices(["ka", "ro", "mi", "ta", "lu"], k=5)) for _ in range(300)}))
    return path


def modules(home: Path) -> Path:
    for name in ("calendar", "csv", "heapq", "random"):
        (home / f"{name}.txt").write_text(inspect.getsource(importlib.import_module(name)))
    return home


def pairs(home: Path) -> Path:
    path = home / "pairs.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{number}\t{str(number)[::-1]}\n" for number in range(1000, 1300)))
    return path


def smiles(home: Path) -> Path:
    path = home / "mine.smi"
    path.write_text("\n".join(line.partition(",")[0] for _, line in read_lines(moses_files()[0])[1:301]))
    return path


def tunes(home: Path) -> Path:
    from apps.audio.scores import Score, midi_bytes

    for index in range(20):
        draws = np.random.default_rng(index)
        pitches = np.cumsum(draws.integers(-2, 3, (32, 4)), 0) + np.array([72, 65, 58, 48])
        (home / f"{index}.mid").write_bytes(midi_bytes(Score(pitches, np.ones((32, 4), bool), 1)))
    return home


def hits(home: Path) -> Path:
    for index in range(40):
        time = np.arange(4000) / 16000
        tone = np.sin(2 * np.pi * (200 + 30 * index) * time) * np.exp(-20 * time)
        soundfile.write(home / f"{'low' if index < 20 else 'high'}_{index}.wav", tone, 16000)
    return home


def demonstrations(home: Path) -> Path:
    robotics.collect("planar", 20, seed=0).save(home / "mine.npz")
    return home


KINDS: dict[str, tuple[str, Callable[[Path], Path], dict[str, object]]] = {
    "sprites": ("image", sprites, {"size": 16, "color": True, "alpha": True, "by_class": False}),
    "photos": ("image", photos, {"size": 64, "alpha": False, "by_class": True}),
    "names": ("text", names, {"unit": "line", "tokenizer": "characters", "length": 16}),
    "modules": ("text", modules, {"unit": "stream", "tokenizer": "characters", "length": 256}),
    "pairs": ("text", pairs, {"unit": "pair", "length": 16, "source_length": 16}),
    "smiles": ("molecules", smiles, {"merges": 0, "limit": 300}),
    "tunes": ("audio", tunes, {"beats": 16, "steps_per_beat": 1}),
    "hits": ("audio", hits, {}),
    "demonstrations": ("robotics", demonstrations, {"task": "planar"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_four_families_learn_from_a_users_data(kind: str, tmp_path: Path) -> None:
    name, make, guessed = KINDS[kind]
    domain: Any = importlib.import_module(f"apps.{name}.domain").DOMAIN
    data = domain.guess(make(tmp_path))
    assert {key: getattr(data, key) for key in guessed} == guessed
    prepared = domain.prepare(data)
    weights = {}
    for family in FAMILIES:
        recipe, why = propose(domain, data, prepared, family, name="mine")
        assert recipe.name == f"mine-{family}" and f"{len(prepared.train):,} training examples" in why
        assert domain.override(recipe, []) == recipe  # it can be written and read again
        model = build(domain, recipe, prepared.codec, torch.device("cpu"))
        weights[family] = sum(parameter.numel() for parameter in model.family.parameters())
        batch = prepared.train.batch(range(4))
        for player in model.family.players:
            assert torch.isfinite(model.family(batch, player, 0.5).value)
        assert len(model.sample(2, condition={key: rows[:2] for key, rows in batch.condition.items()} or None)) == 2
    assert max(weights.values()) < 8_000_000
    chosen, why = propose(domain, data, prepared)
    assert chosen.family.kind in why


def test_a_run_needs_no_recipe_only_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder = tmp_path / "sprites"
    folder.mkdir()
    sprites(folder)
    monkeypatch.chdir(tmp_path)
    words = ("--data", "sprites", "--set", "train.steps=2", "--set", "data.size=8")
    succeed(app, "train", *words)
    assert "diffusion (the nearest" in capsys.readouterr().out
    assert (tmp_path / "runs" / "image" / "sprites-diffusion" / "report.html").is_file()
    succeed(app, "train", "vae", *words)
    assert (tmp_path / "runs" / "image" / "sprites-vae" / "model" / "model.safetensors").is_file()
    succeed(app, "sample", "runs/image/sprites-diffusion", "-n", 2, "-o", "out")
    with Image.open(tmp_path / "out" / "00000.png") as picture:
        assert picture.mode == "RGBA" and picture.size == (8, 8)
