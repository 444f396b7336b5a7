"""Where molecules come from: MOSES, or any .smi, .csv, .tsv or .txt file or folder; split, tokenised, cached."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from apps.molecules.chemistry import canonical, check_properties, molecules, properties, valid_molecules
from apps.molecules.codec import SmilesCodec, fit, merged_ids, padded, shortened, tokenize
from core.conditions import VectorCondition
from core.data.arrays import ArrayData, order
from core.data.cache import cached
from core.data.sources import in_data, package_files, read_text
from core.data.splits import split
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.runs.model import Model

SUFFIXES = (".smi", ".smiles", ".csv", ".tsv", ".txt")
COLUMNS = ("smiles", "canonical_smiles", "isomeric_smiles", "smile", "structure", "molecule", "mol")
SPLITS = ("train", "validation", "test")
HELD_OUT = {"validation": 2_000, "test": 6_000}  # at most; a tenth of a file's molecules each
FEWEST = 50  # molecules that can be split, learned from and compared
VERSION = 1  # of the arrays this module caches

log = logging.getLogger("fourfold.molecules")


@dataclass(frozen=True, kw_only=True)
class MoleculeData:
    """What to train on.

    Attributes:
        source: published molecules: "moses".
        folder: instead of `source`, a .smi, .csv, .tsv or .txt file (.gz too) or a folder of them.
        column: the SMILES column of a table; found by its name or its contents unless given.
        limit: training molecules at most, the first of a shuffle.
        max_tokens: molecules of more tokens are left out.
        max_invalid: share of a file's molecules that may be invalid SMILES (they are skipped); more is an error.
        merges: frequent pairs of tokens that become one token (SMILES pair encoding): fewer and longer tokens.
        properties: what to condition on, of logp, qed, weight (g/mol), tpsa (square angstrom), sa.
        shuffle_seed: of the shuffle before the split.
    """

    source: Literal["moses"] = "moses"
    folder: str | None = None
    column: str | None = None
    limit: int = 50_000
    max_tokens: int = 100
    max_invalid: float = 0.01
    merges: int = 0
    properties: tuple[str, ...] = ()
    shuffle_seed: int = 0

    def __post_init__(self) -> None:
        require(self.limit >= FEWEST, "data.limit", self.limit, f"must be at least {FEWEST}")
        require(1 <= self.max_tokens <= 10_000, "data.max_tokens", self.max_tokens, "must be in [1, 10000]")
        require(0 <= self.merges <= 20_000, "data.merges", self.merges, "must be in [0, 20000]")
        require(0 <= self.max_invalid <= 1, "data.max_invalid", self.max_invalid, "must be in [0, 1]")
        require(0 <= self.shuffle_seed < 2**63, "data.shuffle_seed", self.shuffle_seed, "must be at least 0")
        check_properties(self.properties)


MoleculeModel = Model[MoleculeData, SmilesCodec, str]


def prepare(data: MoleculeData) -> Prepared[SmilesCodec]:
    """The three splits and their codec; MOSES keeps its published train and test split.

    Raises:
        FourfoldError: a file is missing, unreadable, or holds too few or too many invalid molecules.
    """
    files = moses_files() if data.folder is None else source_files(Path(data.folder))
    parts = (replace(data, folder=None, properties=()), data.folder is None, *files)
    arrays = cached("molecules", VERSION, parts, lambda: _arrays(data, files))
    length = arrays["train"].shape[1]
    counts = np.bincount(arrays["train_lengths"], minlength=length + 1)[1:]
    codec = SmilesCodec(
        tokens=tuple(text.decode() for text in arrays["tokens"]),
        merges=tuple((int(left), int(right)) for left, right in arrays["merges"]),
        length_histogram=tuple((counts / counts.sum()).tolist()),
    )

    def column(name: str) -> dict[str, np.ndarray]:
        """One property of each split's molecules, float32 `[N, 1]` in its unit."""
        mols = {part: valid_molecules(codec.strings(arrays[part])) for part in SPLITS}
        return {part: properties(mols[part], [name]).astype(np.float32) for part in SPLITS}

    columns = [cached(f"molecules/{name}", VERSION, parts, partial(column, name)) for name in data.properties]
    values = {part: np.concatenate([column[part] for column in columns], 1) for part in SPLITS if columns}
    if columns:
        mean, std = values["train"].mean(0, dtype=float), values["train"].std(0, dtype=float).clip(min=1e-6)
        spec = VectorCondition(names=data.properties, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
        codec = replace(codec, properties=spec)
        values = {part: ((rows - mean) / std).astype(np.float32) for part, rows in values.items()}

    def examples(part: str) -> ArrayData:
        condition = {"property": values[part]} if columns else {}
        return ArrayData(codec.space, arrays[part], condition, arrays[f"{part}_lengths"])

    return Prepared(codec=codec, train=examples("train"), validation=examples("validation"), test=examples("test"))


def _arrays(data: MoleculeData, files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Ids `[N, length]` and lengths `[N]` of each split, and the codec's `tokens` and `merges`."""
    found = _moses(data, files) if data.folder is None else _own(data, files)
    tokenized = {name: [tokenize(smiles) for smiles in found[name]] for name in SPLITS}
    tokens, merges = fit(tokenized["train"], data.merges)
    known = set(tokens)
    for name in HELD_OUT:  # a token never seen in training has no id
        tokenized[name] = [row for row in tokenized[name] if known.issuperset(row)]
    rows = {name: merged_ids(tokenized[name], tokens, merges) for name in SPLITS}
    length = max(len(row) for part in rows.values() for row in part)
    arrays: dict[str, np.ndarray] = {
        "tokens": np.array([token.encode() for token in tokens]),
        "merges": np.array(merges, np.int64).reshape(-1, 2),
    }
    for name in SPLITS:
        x, arrays[f"{name}_lengths"] = padded(rows[name], length)
        arrays[name] = x.astype(np.uint8 if len(tokens) < 256 else np.uint16)
    return arrays


def moses_files() -> list[Path]:
    """MOSES' train and test files: from `$FOURFOLD_DATA`, else from the wheel `molsets`, read as data only."""
    folder = in_data("molecules/moses")
    if folder is None:
        folder = package_files("molsets", "0.3.1", module="moses") / "dataset" / "data"
    return [folder / "train.csv.gz", folder / "test.csv.gz"]


def _moses(data: MoleculeData, files: Sequence[Path]) -> dict[str, list[str]]:
    """MOSES' molecules are canonical and valid as published, so none is parsed here."""
    train, test = ([row.partition(",")[0] for row in read_text(path).splitlines()[1:]] for path in files)

    def some(rows: list[str], n: int, start: int = 0) -> list[str]:
        chosen = order(data.shuffle_seed, 0, len(rows))[start : start + n]
        return [row for row in (rows[i] for i in chosen) if len(tokenize(row)) <= data.max_tokens]

    limit = min(data.limit, len(train) - HELD_OUT["validation"])
    held_out = {"validation": some(train, HELD_OUT["validation"], limit), "test": some(test, HELD_OUT["test"])}
    return {"train": some(train, limit), **held_out}


def _own(data: MoleculeData, files: Sequence[Path]) -> dict[str, list[str]]:
    """A user's molecules made canonical, each once, shuffled; a tenth each, at most, for validation and test."""
    found = (smiles for path in files for smiles in read_smiles(path, data.column, data.max_invalid))
    unique = list(dict.fromkeys(found))
    fitting = [smiles for smiles in unique if len(tokenize(smiles)) <= data.max_tokens]
    if len(fitting) < len(unique):
        log.warning("%s: %d molecules of more than %d tokens are left out", data.folder, len(unique) - len(fitting),
                    data.max_tokens)
    if len(fitting) < FEWEST:
        raise FourfoldError(f"{data.folder} has {len(fitting)} different molecules of at most {data.max_tokens} "
                            f"tokens: at least {FEWEST} are needed")
    sizes = {name: min(most, len(fitting) // 10) for name, most in HELD_OUT.items()}
    parts = split(fitting, test=sizes["test"], validation=sizes["validation"], seed=data.shuffle_seed).of(fitting)
    return parts | {"train": parts["train"][: data.limit]}


def source_files(path: Path) -> list[Path]:
    """The molecule files that `path` names: itself, or those in the folder.

    Raises:
        FourfoldError: there is none.
    """
    if not path.exists():
        raise FourfoldError(f"data.folder is {str(path)!r}: no such file or folder")
    if path.is_file():
        if not _suffix(path):
            raise FourfoldError(f"{path}: not a molecule file; known: {', '.join(SUFFIXES)}, each also as .gz")
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and _suffix(file))
    if not files:
        raise FourfoldError(f"{path} holds no molecule files; known: {', '.join(SUFFIXES)}, each also as .gz")
    return files


def _suffix(path: Path) -> str | None:
    """The file's kind, without .gz; None for unknown kinds."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def read_smiles(path: Path, column: str | None = None, max_invalid: float = 0.0) -> list[str]:
    """Canonical SMILES of a file, in its order; invalid ones are skipped up to a share of `max_invalid`.

    Raises:
        FourfoldError: no molecules, no SMILES column, or too many invalid ones; the first is named by its line.
    """
    rows = list(_smiles_rows(path, column))
    if not rows:
        raise FourfoldError(f"{path} is empty: it holds no molecules")
    found = canonical([text for _, text in rows])
    invalid = [row for row, result in zip(rows, found, strict=True) if result is None]
    if invalid:
        line, text = invalid[0]
        message = (f"{path}: {len(invalid)} of {len(rows)} molecules are not valid SMILES "
                   f"(first: line {line}, {shortened(text)!r})")
        if len(invalid) > max_invalid * len(rows):
            raise FourfoldError(f"{message}; data.max_invalid allows {max_invalid:.3g} of them")
        log.warning("%s; they are skipped", message)
    return [smiles for smiles in found if smiles is not None]


def _smiles_rows(path: Path, column: str | None) -> Iterator[tuple[int, str]]:
    """(line number, SMILES) of each row that has one."""
    text, kind = read_text(path), _suffix(path)
    if kind in (".csv", ".tsv"):
        yield from _table_rows(path, text, "\t" if kind == ".tsv" else ",", column)
        return
    for line, row in enumerate(text.splitlines(), 1):
        fields = row.split()  # .smi: SMILES, then a name
        if fields and not (line == 1 and fields[0].lower() in COLUMNS):
            yield line, fields[0]


def _table_rows(path: Path, text: str, delimiter: str, column: str | None) -> Iterator[tuple[int, str]]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise FourfoldError(f"{path} line {reader.line_num} is not a table row: {error}") from None
    if not rows:
        return
    header = [cell.strip() for cell in rows[0][1]]
    index, first = _smiles_column(path, header, [row for _, row in rows[1:21]], column)
    for line, row in rows[first:]:
        if len(row) > index and row[index].strip():
            yield line, row[index].strip()


def _smiles_column(path: Path, header: list[str], sample: list[list[str]], column: str | None) -> tuple[int, int]:
    """(index of the SMILES column, index of the first row of data)."""
    lowered = [name.lower() for name in header]
    if column is not None:
        if column.lower() not in lowered:
            raise FourfoldError(f"{path} has no column {column!r}; its columns: {', '.join(header)}")
        return lowered.index(column.lower()), 1
    for name in COLUMNS:
        if name in lowered:
            return lowered.index(name), 1
    # No known name: the column whose cells are mostly molecules ("1" or "CC" alone would be too weak a sign).
    for index in range(len(header)):
        cells = [row[index].strip() for row in [*sample, header] if len(row) > index]
        valid = [cell for cell, mol in zip(cells, molecules(cells), strict=True) if mol is not None and len(cell) > 2]
        if len(valid) > len(cells) / 2:
            return index, 0 if header[index] in valid else 1
    raise FourfoldError(f"{path} has no column of SMILES; its columns: {', '.join(map(shortened, header))}; "
                        "name one with data.column")
