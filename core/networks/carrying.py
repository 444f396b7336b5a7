"""The weights of a trained model for a model of other data: what fits is kept, the rest begins as near as it can.

Networks say what the places along an axis of a parameter stand for (`core.networks.layers.indexed`), by these names:

tokens, symbols   kinds of token; the same and the start or mask symbol
channels          of the data's arrays
step              places of a sequence: those of both keep their number
place             a side of a picture: the nearest place counts, as if pictures were scaled
condition NAME    classes or numbers of a condition, by name, or the kinds of token of its sequences
""                what belongs to the network itself

`Sources` say which old places each new one is made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.conditions import ClassCondition, ConditionSpec, SequenceCondition, VectorCondition
from core.networks.conditioning import Conditioner
from core.networks.layers import parts_of
from core.spaces import Continuous, Discrete, Space

Sources = Sequence[tuple[int, ...]]
"""For each new place the old places that it is like: one, several whose mean it begins with, or none."""
NAMED = (ClassCondition, VectorCondition)
NOISE = 0.1
"""Standard deviation of what is added to a new row that begins as the mean of all, as a share of theirs."""


@dataclass(frozen=True)
class Carried:
    """What became of the weights: names of those kept, of those that begin anew, and of old ones without a place."""

    kept: tuple[str, ...]
    anew: tuple[str, ...]
    left: tuple[str, ...]


def same(count: int) -> Sources:
    """Each place like the old one of its number."""
    return [(index,) for index in range(count)]


def aligned(old: int, new: int) -> Sources:
    """Each place like the old one of its number, where there is one."""
    return [(index,) if index < old else () for index in range(new)]


def by_name(old: Sequence[str], new: Sequence[str]) -> Sources:
    """Each like the old one of its name, where there is one."""
    place = {name: index for index, name in enumerate(old)}
    return [(place[name],) if name in place else () for name in new]


def sources_of(
    spaces: tuple[Space, Space], conditions: tuple[Mapping[str, ConditionSpec], Mapping[str, ConditionSpec]],
    stated: Mapping[str, Sources],
) -> dict[str, Sources]:
    """What is made of what, by the names of parts, for (old, new) spaces and conditions.

    `stated`: what a codec says of "tokens", "channels" and its sequences of tokens (by the condition's name).
    """
    found: dict[str, Sources] = {}
    before, after = spaces
    if isinstance(before, Discrete) and isinstance(after, Discrete):
        found["tokens"] = stated.get("tokens", aligned(before.vocab, after.vocab))
        found["symbols"] = [*found["tokens"], (before.vocab,)]
    if isinstance(before, Continuous) and isinstance(after, Continuous):
        found["channels"] = stated.get("channels", aligned(before.shape[0], after.shape[0]))
    for name, spec in conditions[1].items():
        old = conditions[0].get(name)
        if isinstance(old, SequenceCondition) and isinstance(spec, SequenceCondition):
            found[f"condition {name}"] = stated.get(name, aligned(old.vocab, spec.vocab))
        elif isinstance(old, NAMED) and isinstance(spec, NAMED) and type(old) is type(spec):
            found[f"condition {name}"] = by_name(old.names, spec.names)
    return found


@torch.no_grad()
def carry(old: nn.Module, new: nn.Module, sources: Mapping[str, Sources], generator: torch.Generator) -> Carried:
    """Fill `new` with the weights of `old`, which is on the CPU, as far as they fit.

    A weight that fits but for an axis whose parts are of another number is put together: rows (outputs, embeddings) are
    means of their sources, columns (inputs) share theirs, so that what was the same before has the same effect. What
    has no source begins as the mean of all where it is a token or a class (with a little noise, so that two of them
    differ), as zero where it is an input, and as `new` has it otherwise.
    """
    kept, anew = [], []
    before = old.state_dict(keep_vars=True)  # as parameters, which have marks
    for name, value in new.state_dict(keep_vars=True).items():
        made = _fitted(before[name], value, sources, generator) if name in before else None
        if made is None:
            anew.append(name)
        else:
            kept.append(name)
            value.copy_(made)
    _restandardise(old, new, set(kept))
    return Carried(tuple(kept), tuple(anew), tuple(name for name in before if name not in kept and name not in anew))


def _fitted(
    old: Tensor, fresh: Tensor, sources: Mapping[str, Sources], generator: torch.Generator
) -> Tensor | None:
    """A weight put together of an old one; None where it does not fit."""
    old_marks, marks, fresh = parts_of(old), parts_of(fresh), fresh.cpu()
    if old_marks.keys() != marks.keys() or old.ndim != fresh.ndim:
        return None
    for axis, parts in marks.items():
        before = old_marks[axis]
        if [name for name, _ in before] != [name for name, _ in parts]:
            return None
        old = old.reshape(*old.shape[:axis], *(size for _, size in before), *old.shape[axis + 1 :])
        known = torch.ones([size for _, size in parts], dtype=torch.bool)
        for at, ((name, had), (_, has)) in enumerate(zip(before, parts, strict=True)):
            chosen = _chosen(name, had, has, sources)
            if chosen is None:
                return None
            if chosen == same(had):
                continue
            mean = axis == 0 and (name in ("tokens", "symbols") or name.startswith("condition "))
            old = _gathered(old, axis + at, chosen, generator if mean else None, shared=axis == 1)
            if axis == 0 and not mean:
                empty = torch.tensor([not some for some in chosen])
                known = known & ~empty.view([-1 if i == at else 1 for i in range(len(parts))])
        old = old.flatten(axis, axis + len(parts) - 1)
        if not known.all() and old.shape == fresh.shape:
            old = torch.where(known.flatten().view(-1, *[1] * (old.ndim - 1)), old, fresh)
    return old if old.shape == fresh.shape else None


def _chosen(name: str, had: int, has: int, sources: Mapping[str, Sources]) -> Sources | None:
    """The sources of a part of an axis; None where it does not fit."""
    if name == "step":
        return aligned(had, has)
    if name == "place":
        return [((2 * index + 1) * had // (2 * has),) for index in range(has)]
    stated = sources.get(name)
    if stated is not None and len(stated) == has and all(index < had for some in stated for index in some):
        return stated
    # Of what only counts with the data's channels (a likelihood's parameters) all can be kept where they are the same.
    unchanged = stated is None or stated == same(len(stated))
    return same(has) if had == has and unchanged else None


def _gathered(old: Tensor, axis: int, sources: Sources, generator: torch.Generator | None, *, shared: bool) -> Tensor:
    """A tensor whose places along `axis` are means of their sources, or where `shared` sums of their sources' shares.

    Those without sources are zero, or with a generator the mean of all and noise.
    """
    to = [index for index, some in enumerate(sources) for _ in some]
    taken = [place for some in sources for place in some]
    uses = Counter(taken)
    shares = [1 / (uses[place] if shared else len(sources[index])) for index, place in zip(to, taken, strict=True)]
    shape = list(old.shape)
    shape[axis] = len(sources)
    made = old.new_zeros(shape)
    weights = old.new_tensor(shares).view(-1, *[1] * (old.ndim - axis - 1))
    made.index_add_(axis, torch.tensor(to, dtype=torch.int64), old.index_select(axis, torch.tensor(
        taken, dtype=torch.int64)) * weights)
    empty = [index for index, some in enumerate(sources) if not some]
    if generator is not None and empty:
        shape[axis] = len(empty)
        noise = NOISE * old.std(axis, keepdim=True, correction=0) * torch.randn(shape, generator=generator)
        made.index_copy_(axis, torch.tensor(empty), old.mean(axis, keepdim=True) + noise)
    return made


def _restandardise(old: nn.Module, new: nn.Module, kept: set[str]) -> None:
    """Let carried layers read numbers that are standardised otherwise: the same number has the same effect."""
    before = dict(old.named_modules())
    for path, module in new.named_modules():
        was = before.get(path)
        if not isinstance(module, Conditioner) or not isinstance(was, Conditioner):
            continue
        for name, spec in module.specs.items():
            had = was.specs.get(name)
            if not isinstance(spec, VectorCondition) or not isinstance(had, VectorCondition):
                continue
            if f"{path}.embeddings.{name}.0.weight".lstrip(".") not in kept:
                continue
            first = module.get_submodule(f"embeddings.{name}.0")
            assert isinstance(first, nn.Linear)
            for column, places in enumerate(by_name(had.names, spec.names)):
                for place in places:
                    weight = first.weight[:, column]
                    first.bias.add_(weight * ((spec.mean[column] - had.mean[place]) / had.std[place]))
                    weight.mul_(spec.std[column] / had.std[place])
