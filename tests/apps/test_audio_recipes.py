"""Every audio recipe builds its family for its data, takes a step's gradient and draws a sample."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from apps.audio.codec import AudioCodec, ChoraleCodec, NoteCodec
from apps.audio.data import ChoraleData
from apps.audio.notes import INSTRUMENTS
from apps.audio.recipes import RECIPES
from apps.audio.recordings import RecordingData
from apps.audio.sound import scaled_mel
from apps.audio.waveforms import WaveCodec
from core.batches import Batch
from core.serialization import to_dict
from core.spaces import Discrete


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_builds(name: str) -> None:
    from apps.audio.domain import DOMAIN

    recipe = RECIPES[name]()
    assert recipe.name == name
    assert DOMAIN.read_recipe(to_dict(recipe)) == recipe
    data = recipe.data
    codec: AudioCodec
    if isinstance(data, ChoraleData):
        codec = ChoraleCodec(beats=data.beats, steps_per_beat=data.steps_per_beat, low=36, high=81)
    elif isinstance(data, RecordingData):
        codec = WaveCodec(mel=data.mel)
    else:
        codec = NoteCodec(mel=data.mel, names=tuple(INSTRUMENTS))
    torch.manual_seed(0)
    family = recipe.family.build(codec.space, codec.conditions)
    if isinstance(codec.space, Discrete):
        batch = Batch(torch.randint(codec.space.vocab, (2, codec.space.length)))
    elif isinstance(codec, WaveCodec):
        waves = torch.rand(2, *codec.space.shape) * 2 - 1
        batch = Batch(waves, {"mel": scaled_mel(waves[:, 0], codec.mel)})
    else:
        batch = Batch(torch.rand(2, *codec.space.shape) * 2 - 1, {"instrument": torch.tensor([0, 3])})
    for player in family.players:
        loss = family(batch, player, 0.9).value
        loss.backward()
        assert torch.isfinite(loss)
    if name.startswith("tour"):
        settings = replace(recipe.sample, num_steps=2) if recipe.sample.num_steps else recipe.sample
        assert len(codec.decode(family.eval().sample(2, settings=settings))) == 2
