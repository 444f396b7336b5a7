"""Which weights a model of other data keeps, row by row, and that what was the same before has the same effect."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from small_families import ARRAYS, CONDITIONS, CONV, FAMILIES, NARROW, TOKENS, TRANSFORMER
from torch import Tensor, nn

from core.conditions import ClassCondition, ConditionSpec, SequenceCondition, VectorCondition
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.autoregressive import Autoregressive
from core.networks import MLPConfig, TransformerConfig, UNetConfig
from core.networks.carrying import Carried, Sources, carry, sources_of
from core.networks.conditioning import Conditioner
from core.spaces import Continuous, Discrete, Space

PLAIN = TransformerConfig(width=16, depth=1, heads=2)


def stirred(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with every weight drawn anew: none is zero."""
    draws = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=draws)
    return module.eval()


def carried(
    old: nn.Module, new: nn.Module, spaces: tuple[Space, Space], stated: Mapping[str, Sources] | None = None,
    conditions: tuple[Mapping[str, ConditionSpec], Mapping[str, ConditionSpec]] = ({}, {}),
) -> Carried:
    return carry(old, new, sources_of(spaces, conditions, stated or {}), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*FAMILIES, "latent gan"])
def test_a_model_of_the_same_data_keeps_every_number(name: str) -> None:
    words = VAEConfig(encoder=TRANSFORMER, decoder=TRANSFORMER, latent=4, conditioning=NARROW)
    pair = GANConfig(generator=MLPConfig(width=8), critic=MLPConfig(width=8), conditioning=NARROW, autoencoder=words)
    config = FAMILIES.get(name, pair)
    space: Space = TOKENS if name in ("vae", "latent gan") else ARRAYS
    old, new = (stirred(config.build(space, CONDITIONS), seed) for seed in (0, 1))
    kept = carried(old, new, (space, space), conditions=(CONDITIONS, CONDITIONS))
    assert not kept.anew and not kept.left
    for key, value in new.state_dict().items():
        assert torch.equal(value, old.state_dict()[key]), key


def test_tokens_keep_their_rows_wherever_they_move() -> None:
    before, after = Discrete(length=6, vocab=4), Discrete(length=8, vocab=6)
    tokens: Sources = [(2,), (0,), (), (1, 3), (1,), (3,)]
    config = AutoregressiveConfig(model=PLAIN)
    old, new = stirred(config.build(before, {})), stirred(config.build(after, {}), 1)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    assert not carried(old, new, (before, after), {"tokens": tokens}).anew
    was, now = old.state_dict(), new.state_dict()
    for name in ("network.embedding.weight", "network.head.weight", "network.head.bias"):
        for index, place in ((0, 2), (1, 0), (4, 1), (5, 3)):
            assert torch.equal(now[name][index], was[name][place]), name
        torch.testing.assert_close(now[name][3], (was[name][1] + was[name][3]) / 2)
        rows = was[name]
        assert 0 < (now[name][2] - rows.mean(0)).norm() < rows.std() * rows[0].numel() ** 0.5, name
    assert torch.equal(now["network.embedding.weight"][6], was["network.embedding.weight"][4])  # the start symbol
    assert torch.equal(now["network.positions"][:6], was["network.positions"])
    assert torch.equal(now["network.positions"][6:], fresh["network.positions"][6:])
    assert isinstance(old, Autoregressive) and isinstance(new, Autoregressive)
    numbers = torch.tensor([[2, 0, 1, 3, 2, 2]])
    renumbered = torch.tensor([[0, 1, 4, 5, 0, 0]])
    logits = [family.network(torch.cat([torch.tensor([[start]]), x[:, :-1]], 1))
              for family, start, x in ((old, 4, numbers), (new, 6, renumbered))]
    torch.testing.assert_close(logits[1][..., [1, 4, 0, 5]], logits[0])


def test_classes_are_known_by_name_and_new_ones_begin_as_the_mean() -> None:
    before = {"class": ClassCondition(names=("cat", "dog", "owl"))}
    after = {"class": ClassCondition(names=("ant", "dog", "bee", "cat"))}
    old, new = (stirred(Conditioner(specs, NARROW), seed) for seed, specs in enumerate((before, after)))
    assert not carried(old, new, (ARRAYS, ARRAYS), conditions=(before, after)).anew
    was, now = (module.state_dict()["embeddings.class.weight"] for module in (old, new))
    assert torch.equal(now[1], was[1]) and torch.equal(now[3], was[0])
    for row in (0, 2):
        assert (now[row] - was.mean(0)).abs().max() < 0.5 * was.std()
    assert not torch.equal(now[0], now[2])
    assert torch.equal(new.state_dict()["nulls.class"], old.state_dict()["nulls.class"])


def test_numbers_of_another_mean_and_spread_have_the_same_effect() -> None:
    before = {"property": VectorCondition(names=("logp", "qed"), mean=(2.0, 0.5), std=(1.5, 0.1))}
    after = {"property": VectorCondition(names=("weight", "qed", "logp"), mean=(300.0, 0.7, 4.0), std=(50, 0.2, 0.5))}
    old, new = (stirred(Conditioner(specs, NARROW), seed) for seed, specs in enumerate((before, after)))
    carried(old, new, (ARRAYS, ARRAYS), conditions=(before, after))

    def embedded(module: nn.Module, spec: VectorCondition, values: dict[str, float]) -> Tensor:
        row = [(values[n] - m) / s for n, m, s in zip(spec.names, spec.mean, spec.std, strict=True)]
        vector: Tensor = module({"property": torch.tensor([row])}, 1).vector
        return vector

    values = {"logp": 3.3, "qed": 0.42, "weight": 123.0}
    torch.testing.assert_close(embedded(new, after["property"], values), embedded(old, before["property"], values),
                               rtol=1e-4, atol=1e-5)


def test_words_of_captions_keep_their_rows() -> None:
    before = {"prompt": SequenceCondition(length=3, vocab=4, pad=3)}
    after = {"prompt": SequenceCondition(length=4, vocab=3, pad=2)}
    old, new = (stirred(Conditioner(specs, NARROW), seed) for seed, specs in enumerate((before, after)))
    words: Sources = [(2,), (), (3,)]
    assert not carried(old, new, (ARRAYS, ARRAYS), {"prompt": words}, (before, after)).anew
    was, now = (module.state_dict()["embeddings.prompt.embedding.weight"] for module in (old, new))
    assert torch.equal(now[0], was[2]) and torch.equal(now[2], was[3])


@pytest.mark.parametrize("config", [
    UNetConfig(width=8, multipliers=(1, 2), patch=2), TransformerConfig(width=16, depth=1, heads=2, patch=2),
    MLPConfig(width=8),
])
def test_grey_becomes_colour_and_colour_grey(config: UNetConfig | TransformerConfig | MLPConfig) -> None:
    grey, colour = Continuous(shape=(1, 8, 8)), Continuous(shape=(3, 8, 8))
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    old, new = stirred(config.field(grey)), stirred(config.field(colour), 1)
    assert not carried(old, new, (grey, colour), {"channels": [(0,)] * 3}).anew
    torch.testing.assert_close(new(x.repeat(1, 3, 1, 1)), old(x).repeat(1, 3, 1, 1), rtol=1e-4, atol=1e-5)
    old, new = stirred(config.field(colour)), stirred(config.field(grey), 1)
    assert not carried(old, new, (colour, grey), {"channels": [(0, 1, 2)]}).anew
    torch.testing.assert_close(new(x), old(x.repeat(1, 3, 1, 1)).mean(1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_actions_are_known_by_name_at_any_horizon() -> None:
    before, after = Continuous(shape=(2, 3)), Continuous(shape=(3, 4))
    names: Sources = [(1,), (), (0,)]
    for config in (MLPConfig(width=8), TransformerConfig(width=16, depth=1, heads=2)):
        old, new = stirred(config.field(before)), stirred(config.field(after), 1)
        fresh = {name: value.clone() for name, value in new.state_dict().items()}
        assert not carried(old, new, (before, after), {"channels": names}).anew
    old, new = stirred(MLPConfig(width=8).field(before)), stirred(MLPConfig(width=8).field(after), 1)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    carried(old, new, (before, after), {"channels": names})
    was, now = old.state_dict(), new.state_dict()
    into, out = now["enter.weight"].view(-1, 3, 4), now["leave.weight"].view(3, 4, -1)
    assert torch.equal(into[:, 2, :3], was["enter.weight"].view(-1, 2, 3)[:, 0]) and not into[:, 1].any()
    assert not into[:, :, 3].any()  # a step that was not seen
    assert torch.equal(out[0, :3], was["leave.weight"].view(2, 3, -1)[1])
    assert torch.equal(out[1], fresh["leave.weight"].view(3, 4, -1)[1])
    assert torch.equal(now["first.0.weight"], was["first.0.weight"])


def test_pictures_of_another_size_keep_what_knows_no_size() -> None:
    before, after = Continuous(shape=(1, 8, 8)), Continuous(shape=(1, 16, 16))
    unet = DiffusionConfig(denoiser=UNetConfig(width=8), conditioning=NARROW)
    assert not carried(stirred(unet.build(before, {})), stirred(unet.build(after, {})), (before, after)).anew
    pair = GANConfig(generator=CONV, critic=CONV, latent=8)
    old, new = stirred(pair.build(before, {})), stirred(pair.build(after, {}), 1)
    assert carried(old, new, (before, after)).anew == ("critic.head.0.weight",)
    was, now = (module.state_dict()["generator.start.weight"] for module in (old, new))
    corners = now.view(-1, 8, 8, now.shape[1])[:, ::2, ::2]
    assert torch.equal(corners, was.view(-1, 4, 4, was.shape[1]))  # as a picture is scaled
    patches = TransformerConfig(width=16, depth=1, heads=2, patch=4).field
    old_field, new_field = stirred(patches(before)), stirred(patches(after), 1)
    assert not carried(old_field, new_field, (before, after)).anew
    assert torch.equal(new_field.state_dict()["positions"].view(4, 4, -1)[1::2, 1::2].flatten(0, 1),
                       old_field.state_dict()["positions"])


def test_what_does_not_fit_is_named_and_left_as_it_was() -> None:
    config, deeper = (AutoregressiveConfig(model=TransformerConfig(width=16, depth=depth, heads=2)) for depth in (1, 2))
    old, new = stirred(config.build(TOKENS, {})), stirred(deeper.build(TOKENS, {}), 1)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    found = carried(old, new, (TOKENS, TOKENS))
    assert found.anew and all(".blocks.1." in name for name in found.anew) and not found.left
    assert all(torch.equal(new.state_dict()[name], fresh[name]) for name in found.anew)
    wide = stirred(AutoregressiveConfig(model=PLAIN, conditioning=NARROW).build(TOKENS, CONDITIONS))
    plain = stirred(AutoregressiveConfig(model=PLAIN).build(TOKENS, {}), 1)
    assert any("conditioner" in name for name in carried(wide, plain, (TOKENS, TOKENS)).left)
