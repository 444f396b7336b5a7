"""Parsing of conditions that a user writes as text."""

from __future__ import annotations

import torch
from torch import Tensor

from core.conditions import ClassCondition, ConditionSpec, VectorCondition
from core.errors import FourfoldError, did_you_mean


def parse_condition(spec: ConditionSpec, name: str, text: str) -> Tensor:
    """The condition of one example: int64 `[]` for a class; float32 `[len(spec.names)]`, standardised, for numbers.

    Args:
        name: the condition's name, for errors.
        text: a class's name; for numbers "logp=2.5,qed=0.8" or "2.5,0.8".

    Raises:
        FourfoldError: an unknown class or component, a missing or repeated component, a value that is not a finite
            number, or a source sequence or array, which cannot be written as text.
    """
    if isinstance(spec, ClassCondition):
        return torch.tensor(_class_index(spec, name, text))
    if isinstance(spec, VectorCondition):
        return _vector(spec, name, text)
    raise FourfoldError(f"condition {name!r} cannot be written as an option")


def _class_index(spec: ClassCondition, name: str, text: str) -> int:
    if text in spec.names:
        return spec.names.index(text)
    raise FourfoldError(f"no {name} {text!r}: {did_you_mean(text, spec.names)}")


def _vector(spec: VectorCondition, name: str, text: str) -> Tensor:
    parts = [part.strip() for part in text.split(",")]
    named = "=" in text
    pairs = [part.partition("=")[::2] for part in parts] if named else list(zip(spec.names, parts, strict=False))
    if not named and len(parts) != len(spec.names):
        raise FourfoldError(f"{name} is {text!r}: needs {len(spec.names)} numbers, {', '.join(spec.names)}")
    values: dict[str, float] = {}
    for key, number in pairs:
        key = key.strip()
        if key not in spec.names:
            raise FourfoldError(f"{name} has no {key!r}: {did_you_mean(key, spec.names)}")
        if key in values:
            raise FourfoldError(f"{name} names {key!r} twice: give it one number")
        try:
            values[key] = float(number)
        except ValueError:
            raise FourfoldError(f"{name}.{key} is {number!r}: must be a number") from None
        if not abs(values[key]) < float("inf"):
            raise FourfoldError(f"{name}.{key} is {number!r}: must be finite")
    missing = [key for key in spec.names if key not in values]
    if missing:
        raise FourfoldError(f"{name} is {text!r}: {', '.join(missing)} is missing")
    return torch.tensor([(values[k] - m) / s for k, m, s in zip(spec.names, spec.mean, spec.std, strict=True)])
