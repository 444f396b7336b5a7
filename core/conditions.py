"""Kinds of condition: a class, numbers, a source sequence, an array aligned with the data, or a picture beside them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClassCondition:
    """One of `len(names)` classes; batched as int64 `[B]`."""

    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VectorCondition:
    """Named real numbers; batched as float32 `[B, len(names)]`, standardised: (value - mean) / std."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SequenceCondition:
    """A source sequence of tokens (translation, captions); batched as int64 `[B, length]`, padded with `pad`."""

    length: int
    vocab: int
    pad: int


@dataclass(frozen=True, kw_only=True)
class ArrayCondition:
    """An array aligned with the data, such as a degraded image; batched as float32 `[B, *shape]`.

    Its axes after the channels are those of the data; it is concatenated to a network's input as channels.
    """

    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PictureCondition:
    """A picture that is looked at, `(channels, height, width)`; batched as uint8 `[B, *shape]`."""

    shape: tuple[int, int, int]


ConditionSpec = ClassCondition | VectorCondition | SequenceCondition | ArrayCondition | PictureCondition
