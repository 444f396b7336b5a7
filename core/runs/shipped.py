"""Models that ship: what a model's folder says of it, without loading it.

A folder holds what every model folder does (weights in half precision, config.json, codec.json, a card in README.md),
and facts.json: how it was made and what it measures. `python -m benchmarks.ship` writes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import FourfoldError
from core.files import read_json
from core.runs.measures import Measure, figure, measure_from_dict
from core.runs.places import model_folders

FACTS = "facts.json"
WEIGHTS_LIMIT, ALL_LIMIT = 10_000_000, 60_000_000
"""Bytes of a model at most, and of all of them."""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A model that ships.

    Attributes:
        family: the kind of its config, e.g. "diffusion"; what: what it makes, in words; size: bytes of its folder.
        license: its SPDX name, "" where nobody said; headline: its first measure, None where it was not measured.
    """

    domain: str
    name: str
    folder: Path
    family: str
    what: str
    size: int
    license: str
    headline: Measure | None


def shipped(domains: Mapping[str, Path]) -> list[Shipped]:
    """The models of each domain, by the folder of those that ship, and the user's own of `$FOURFOLD_MODELS`.

    Raises:
        FourfoldError: a model's files are damaged.
    """
    found = []
    for domain, models in domains.items():
        names: set[str] = set()
        for place in model_folders(domain, models):
            for folder in sorted(place.iterdir()) if place.is_dir() else ():
                if (folder / "config.json").is_file() and folder.name not in names:
                    names.add(folder.name)
                    found.append(read_shipped(domain, folder))
    return found


def read_shipped(domain: str, folder: Path) -> Shipped:
    """What a model's folder says of it.

    Raises:
        FourfoldError: its files are damaged.
    """
    facts = read_json(folder / FACTS) if (folder / FACTS).is_file() else {}
    try:
        recipe = read_json(folder / "config.json")["recipe"]
        return Shipped(
            domain=domain, name=folder.name, folder=folder, what=str(facts.get("what", recipe["name"])),
            family=str(recipe["family"]["kind"]).removesuffix("Config").lower(),
            size=sum(path.stat().st_size for path in folder.iterdir()), license=str(facts.get("license", "")),
            headline=measure_from_dict(facts["measures"][0]) if facts.get("measures") else None,
        )
    except (KeyError, TypeError, IndexError) as error:
        raise FourfoldError(f"{folder} is damaged: it has no {error}") from None


def shipped_row(model: Shipped) -> dict[str, str]:
    """A model as a row of a table."""
    head = model.headline
    interval = "" if head is None or head.interval is None else f" [{' – '.join(map(figure, head.interval))}]"
    return {
        "domain": model.domain, "name": model.name, "family": model.family, "what": model.what,
        "size": f"{model.size / 1e6:.1f} MB", "licence": model.license,
        "measure": "" if head is None else f"{head.name} {figure(head.value)}{interval}",
    }
