"""Where molecules come from: MOSES, or any .smi, .csv, .tsv or .txt file or folder; split, tokenised, cached."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from apps.molecules.chemistry import PROPERTIES, canonical, check_properties, molecules, properties, valid_molecules
from apps.molecules.codec import (
    EOS,
    TOKEN,
    SmilesCodec,
    all_merged,
    extended,
    fit,
    numbered,
    renumbered,
    shortened,
    tokenize,
)
from core.conditions import VectorCondition
from core.data.arrays import ArrayData, order
from core.data.cache import grown
from core.data.folders import as_array, as_lines, find_files
from core.data.sources import Origin, folder_origin, in_data, package_files, package_origin
from core.data.splits import split
from core.data.tables import Table, each_line, read_table
from core.data.unfinished import Make, Part, Unfinished, in_memory
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.runs.model import Model
from core.waiting import followed

SUFFIXES = (".smi", ".smiles", ".csv", ".tsv", ".txt")
COLUMNS = ("smiles", "canonical_smiles", "isomeric_smiles", "smile", "structure", "molecule", "mol")
SPLITS = ("train", "validation", "test")
HELD_OUT = {"validation": 2_000, "test": 6_000}  # at most; a tenth of a file's molecules each
FEWEST = 50  # molecules that can be split, learned from and compared
AT_ONCE = 1_000  # molecules of a job: RDKit's take a hundred times the memory of their SMILES
VERSION = 2  # of the arrays this module caches

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MoleculeData:
    """What to train on.

    Attributes:
        source: published molecules: "moses".
        folder: instead of `source`, a .smi, .csv, .tsv or .txt file (.gz too) or a folder of them, at any depth.
        column: the SMILES column of a table; found by its name or its contents unless given.
        limit: training molecules at most, the first of a shuffle.
        max_tokens: molecules of more tokens are left out.
        max_invalid: share of a file's rows that may be damaged or no valid SMILES (they are skipped); more is an error.
        merges: frequent pairs of tokens that become one token (SMILES pair encoding): fewer and longer tokens.
        properties: what to condition on, of logp, qed, weight (g/mol), tpsa (square angstrom), sa.
        columns: the same of a user's tables: columns of numbers, which join the properties, and one of classes.
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
    columns: tuple[str, ...] = ()
    shuffle_seed: int = 0

    def __post_init__(self) -> None:
        require(self.limit >= FEWEST, "data.limit", self.limit, f"must be at least {FEWEST}")
        require(1 <= self.max_tokens <= 10_000, "data.max_tokens", self.max_tokens, "must be in [1, 10000]")
        require(0 <= self.merges <= 20_000, "data.merges", self.merges, "must be in [0, 20000]")
        require(0 <= self.max_invalid <= 1, "data.max_invalid", self.max_invalid, "must be in [0, 1]")
        require(0 <= self.shuffle_seed < 2**63, "data.shuffle_seed", self.shuffle_seed, "must be at least 0")
        check_properties(self.properties)
        require(not self.columns or self.folder is not None, "data.columns", self.columns, "goes with data.folder")
        require(not set(self.columns) & set(PROPERTIES), "data.columns", self.columns,
                f"has a name that is computed, {', '.join(PROPERTIES)}: call the column otherwise")


Rows = list[tuple[int, str]]  # a line's number, and what stands there
MoleculeModel = Model[MoleculeData, SmilesCodec, str]


def prepare(data: MoleculeData, known: SmilesCodec | None = None, grow: bool = False) -> Prepared[SmilesCodec]:
    """The three splits and their codec; MOSES keeps its published train and test split.

    Tokens are those of a `known` codec; where that may `grow`, those of training molecules that it lacks are added.

    Raises:
        FourfoldError: a file is missing, unreadable, or holds too few or too many invalid molecules.
    """
    files = moses_files() if data.folder is None else source_files(Path(data.folder).expanduser())
    by = () if known is None else (known.tokens, known.merges, grow)
    parts = (replace(data, folder=None, properties=(), columns=()), data.folder is None, *by, *files)
    arrays = grown("molecules", VERSION, parts, lambda made: _arrays(data, files, made, known, grow))
    for line in as_lines(arrays["said"]):
        log.warning(line)
    length = arrays["train"].shape[1]
    counts = np.bincount(arrays["train_lengths"], minlength=length + 1)[1:]
    codec = SmilesCodec(
        tokens=tuple(text.decode() for text in arrays["tokens"]),
        merges=tuple((int(left), int(right)) for left, right in arrays["merges"]),
        length_histogram=tuple((counts / counts.sum()).tolist()),
    )

    columns = [grown(f"molecules/{name}", VERSION, parts, partial(_column, name, codec, arrays))
               for name in data.properties]
    own = grown("molecules/columns", VERSION, (*parts, data.columns), partial(_beside, data, files, codec, arrays)) if (
        data.columns) else {}
    names = data.properties
    kept: dict[str, slice | np.ndarray] = dict.fromkeys(SPLITS, slice(None))
    if own:
        for line in as_lines(own["said"]):
            log.warning(line)
        kept = {part: own[f"{part}_rows"] for part in SPLITS}
        codec = replace(codec, class_names=tuple(as_lines(own["classes"])))
        names += tuple(as_lines(own["names"]))
        columns += [{part: own[f"{part}_values"] for part in SPLITS}]
    values: dict[str, np.ndarray] = {}
    if names:
        values = {part: np.concatenate([column[part] for column in columns], 1)[kept[part]] for part in SPLITS}
        mean, std = values["train"].mean(0, dtype=float), values["train"].std(0, dtype=float).clip(min=1e-6)
        spec = VectorCondition(names=names, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
        codec = replace(codec, properties=spec)
        values = {part: ((rows - mean) / std).astype(np.float32) for part, rows in values.items()}

    def examples(part: str) -> ArrayData:
        condition = {"property": values[part]} if names else {}
        if codec.class_names:
            condition["class"] = own[f"{part}_class"][kept[part]]
        return ArrayData(codec.space, arrays[part][kept[part]], condition, arrays[f"{part}_lengths"][kept[part]])

    return Prepared(codec=codec, train=examples("train"), validation=examples("validation"), test=examples("test"))


def _beside(
    data: MoleculeData, files: Sequence[Path], codec: SmilesCodec, arrays: Mapping[str, np.ndarray], made: Unfinished,
) -> dict[str, np.ndarray]:
    """A user's own columns, for each split: `values` `[N, numbers]`, `class` `[N]`, and the `rows` that lack nothing.

    With them the `names` of the columns of numbers, the `classes` and what is to be `said`.

    Raises:
        FourfoldError: a file has no such column, or there are two columns of classes.
    """
    cells: dict[str, tuple[str, ...]] = {}
    again = 0
    for index, path in enumerate(files):
        if not _is_table(path):
            raise FourfoldError(f"{path} is no table: data.columns are read of .csv and .tsv files")
        rows, _, _ = _table_rows(path, data.column)
        beside = read_table(path, header=True, columns=data.columns)
        found_rows = zip(*(beside.column(name) for name in data.columns), strict=True)
        of_line = dict(zip(beside.lines, found_rows, strict=True))
        every = _canonical_of(rows, path, partial(made.make, f"beside-{index}"))
        for (line, _), smiles in zip(rows, every, strict=True):
            if line in of_line:
                row = tuple(cell.strip() for cell in of_line[line])
                again += cells.setdefault(smiles, row) != row
    said = []
    if again:
        said.append(f"{again:,} molecules come again with other values of {', '.join(data.columns)}; the first count")
    numbers = [index for index in range(len(data.columns)) if are_numbers([row[index] for row in cells.values()])]
    classes = [index for index in range(len(data.columns)) if index not in numbers]
    if len(classes) > 1:
        raise FourfoldError(f"data.columns has {len(classes)} columns of classes, "
                            f"{', '.join(data.columns[i] for i in classes)}: one is taken")
    kinds = sorted({row[classes[0]] for row in cells.values()} - {""}) if classes else []
    if classes:
        said.append(f"{data.columns[classes[0]]}: {len(kinds):,} classes, the condition \"class\"")
    found: dict[str, np.ndarray] = {"names": as_array([data.columns[i] for i in numbers]), "classes": as_array(kinds)}
    missing = 0
    for part in SPLITS:
        wanted = [cells[smiles] for smiles in codec.strings(arrays[part])]
        full = np.array([all(row) for row in wanted], bool)
        missing += int((~full).sum())
        found[f"{part}_rows"] = np.flatnonzero(full)
        found[f"{part}_values"] = np.array([[float(row[i] or 0) for i in numbers] for row in wanted], np.float32)
        found[f"{part}_class"] = np.array([kinds.index(row[classes[0]]) if all(row) else 0 for row in wanted]) if (
            classes) else np.zeros(len(wanted), np.int64)
        if not full.any():
            raise FourfoldError(f"no {part} molecule has a value in each of {', '.join(data.columns)}")
    if missing:
        said.append(f"{missing:,} molecules left out: they lack a value of {', '.join(data.columns)}")
    return found | {"said": as_array(said)}


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether cells are numbers, of more kinds than classes would be."""
    full = [cell for cell in cells if cell]
    try:
        return bool(np.isfinite([float(cell) for cell in full]).all()) and len(set(full)) > 10
    except ValueError:
        return False


def _column(
    name: str, codec: SmilesCodec, arrays: Mapping[str, np.ndarray], made: Unfinished
) -> dict[str, np.ndarray]:
    """One property of each split's molecules, float32 `[N, 1]` in its unit."""
    jobs = [arrays[part][at : at + AT_ONCE] for part in SPLITS for at in range(0, len(arrays[part]), AT_ONCE)]
    found, _ = made.make(name, partial(_measured, name, codec), jobs, what=f"computing {name} of molecules",
                         sizes=[len(job) for job in jobs])
    ends = np.cumsum([len(arrays[part]) for part in SPLITS])[:-1]
    return dict(zip(SPLITS, np.split(np.asarray(found["value"]), ends), strict=True))


def _measured(name: str, codec: SmilesCodec, x: np.ndarray) -> Part:
    """A property of molecules given by their ids."""
    return {"value": properties(valid_molecules(codec.strings(x)), [name]).astype(np.float32)}, {}


def _arrays(
    data: MoleculeData, files: Sequence[Path], made: Unfinished, known: SmilesCodec | None, grow: bool
) -> dict[str, np.ndarray]:
    """Ids `[N, length]` and lengths `[N]` of each split, and the codec's `tokens` and `merges`."""
    found, said = (_moses(data, files), []) if data.folder is None else _own(data, files, made)
    seen: dict[str, int] = {}
    flat = {name: numbered(followed(found[name], "tokenising molecules"), seen) for name in SPLITS}
    sizes = {name: len(found.pop(name)) for name in SPLITS}
    if known is None:
        tokens, merges = fit(flat["train"], seen, data.merges)
    else:
        tokens, merges = extended(known, flat["train"], seen) if grow else (known.tokens, known.merges)
    single = tokens[: len(tokens) - len(merges)]
    for name in SPLITS:
        flat[name] = all_merged(renumbered(flat[name], seen, single, len(merges)), tokens, merges)
    lengths = {name: np.diff(np.flatnonzero(row == EOS), prepend=-1) for name, row in flat.items()}
    for name in SPLITS:  # a token never seen in training has no id
        if len(lengths[name]) < sizes[name]:
            said.append(f"{sizes[name] - len(lengths[name]):,} of {sizes[name]:,} molecules of the {name} split are "
                        "left out: they have tokens that no training molecule has")
    longest = max(int(some.max(initial=0)) for some in lengths.values())
    arrays: dict[str, np.ndarray] = {
        "tokens": np.array([token.encode() for token in tokens]),
        "merges": np.array(merges, np.int64).reshape(-1, 2), "said": as_array(said),
    }
    for name in SPLITS:
        arrays[f"{name}_lengths"] = lengths[name]
        arrays[name] = np.full((len(lengths[name]), longest), EOS, np.uint8 if len(tokens) < 256 else np.uint16)
        arrays[name][np.arange(longest) < lengths[name][:, None]] = flat[name]
    return arrays


def origins(data: MoleculeData) -> list[Origin]:
    """Where the molecules come from."""
    own = "molecules/moses"
    return [folder_origin(data.folder) if data.folder else package_origin("molsets", "0.3.1", 50, "moses", own)]


def moses_file(name: str) -> Path:
    """One of MOSES' files: in molecules/moses of `$FOURFOLD_DATA`, else of the wheel `molsets`, read as data only."""
    found = in_data(f"molecules/moses/{name}")
    home = Path("dataset/data") if ".csv.gz" in name or ".npz" in name else Path("metrics")
    return found or package_files("molsets", "0.3.1", module="moses") / home / name


def moses_files() -> list[Path]:
    """MOSES' train and test files."""
    return [moses_file("train.csv.gz"), moses_file("test.csv.gz")]


def moses_smiles(path: Path) -> list[str]:
    """The SMILES of one of MOSES' files of molecules, in its order."""
    return [row.partition(",")[0] for _, row in islice(each_line(path), 1, None)]


def _moses(data: MoleculeData, files: Sequence[Path]) -> dict[str, list[str]]:
    """MOSES' molecules are canonical and valid as published, so none is parsed here."""
    train, test = map(moses_smiles, files)

    def some(rows: list[str], n: int, start: int = 0) -> list[str]:
        chosen = order(data.shuffle_seed, 0, len(rows))[start : start + n]
        return [row for row in (rows[i] for i in chosen) if len(tokenize(row)) <= data.max_tokens]

    limit = min(data.limit, len(train) - HELD_OUT["validation"])
    held_out = {"validation": some(train, HELD_OUT["validation"], limit), "test": some(test, HELD_OUT["test"])}
    return {"train": some(train, limit), **held_out}


def _own(data: MoleculeData, files: Sequence[Path], made: Unfinished) -> tuple[dict[str, list[str]], list[str]]:
    """A user's molecules made canonical, each once, shuffled; a tenth each, at most, for validation and test.

    With them lines that tell of what is left out.
    """
    found: list[str] = []
    said: list[str] = []
    for index, path in enumerate(files):
        smiles, lines = _read(path, data.column, data.max_invalid, partial(made.make, f"canonical-{index}"))
        found += smiles
        said += lines
    unique = list(dict.fromkeys(found))
    if len(unique) < len(found):
        said.append(f"{data.folder}: {len(found):,} molecules are {len(unique):,} different ones; each counts once")
    fitting = [smiles for smiles in unique if len(tokenize(smiles)) <= data.max_tokens]
    if len(fitting) < len(unique):
        said.append(f"{data.folder}: {len(unique) - len(fitting):,} molecules of more than {data.max_tokens} tokens "
                    "are left out")
    if len(fitting) < FEWEST:
        raise FourfoldError(f"{data.folder} has {len(fitting)} different molecules of at most {data.max_tokens} "
                            f"tokens: at least {FEWEST} are needed")
    sizes = {name: min(most, len(fitting) // 10) for name, most in HELD_OUT.items()}
    parts = split(fitting, test=sizes["test"], validation=sizes["validation"], seed=data.shuffle_seed).of(fitting)
    return parts | {"train": parts["train"][: data.limit]}, said


def source_files(path: Path) -> tuple[Path, ...]:
    """The molecule files that `path` names: itself, or those in the folder, at any depth.

    Raises:
        FourfoldError: there is none.
    """
    found = find_files(path, SUFFIXES, packed=True)
    for line in found.report("molecule files"):
        log.warning(line)
    return found.files


def count_rows(path: Path) -> int:
    """About how many molecules there are in what `source_files` finds: lines that are not blank.

    Raises:
        FourfoldError: no such file, or it is no text.
    """
    files = find_files(path.expanduser(), SUFFIXES, packed=True).files
    return sum(bool(line.strip()) for file in files for _, line in each_line(file))


def read_samples(path: Path, column: str | None = None) -> list[str]:
    """The SMILES of a file as they stand, in its order, valid or not: what a program generated.

    A damaged row of a table and an empty cell are samples that are not valid. Blank lines of other files are skipped.
    Both are said.

    Raises:
        FourfoldError: the file cannot be read, holds no rows, or has no column of SMILES.
    """
    bad: Rows = []
    if _is_table(path):
        rows, bad, said = _table_rows(path, column)
    else:
        rows, _, said = _line_rows(path)
        blank = sum(not line.strip() for _, line in each_line(path))
        said += [f"{path.name}: {blank:,} blank line{'' if blank == 1 else 's'} skipped"] if blank else []
    if not rows:
        raise FourfoldError(f"{path} is empty: it holds no molecules")
    if bad:
        said.append(f"{path.name}: {len(bad):,} damaged rows count as samples that are not valid "
                    f"({'; '.join(f'line {line:,}: {reason}' for line, reason in bad[:3])})")
    for line in said:
        log.warning(line)
    return [text for _, text in sorted([*rows, *((line, "") for line, _ in bad)])]


def read_targets(path: Path, target: str, column: str | None = None) -> list[tuple[int, str, str]]:
    """Line, SMILES and the cell of column `target` of each row of a table; damaged rows are left out, which is said.

    Raises:
        FourfoldError: the file cannot be read, is no table, or has no such column or none of SMILES.
    """
    if not _is_table(path):
        raise FourfoldError(f"{path} is no table: columns are read of .csv and .tsv files")
    rows, bad, said = _table_rows(path, column)
    table = read_table(path, header=True, columns=[target])
    cells = dict(zip(table.lines, table.column(target), strict=True))
    if bad:
        said.append(f"{path.name}: skipped {len(bad):,} damaged rows "
                    f"({'; '.join(f'line {line:,}: {reason}' for line, reason in bad[:3])})")
    for line in said:
        log.warning(line)
    return [(line, text, cells[line].strip()) for line, text in rows if line in cells]


def read_smiles(path: Path, column: str | None = None, max_invalid: float = 0.0) -> list[str]:
    """Canonical SMILES of a file, in its order.

    Damaged rows and invalid SMILES are skipped, with a warning, up to a share of `max_invalid`, rows without a SMILES
    always.

    Raises:
        FourfoldError: no molecules, no SMILES column, or too many invalid ones; the first are named by their lines.
    """
    smiles, said = _read(path, column, max_invalid, in_memory)
    for line in said:
        log.warning(line)
    return smiles


def _read(path: Path, column: str | None, max_invalid: float, make: Make) -> tuple[list[str], list[str]]:
    """`read_smiles`, and the warnings; `make`: of an `Unfinished`, or `in_memory`."""
    rows, bad, said = _table_rows(path, column) if _is_table(path) else _line_rows(path)
    total = len(rows) + len(bad)
    blank = sum(not text for _, text in rows)
    rows = [(line, text) for line, text in rows if text]
    if not rows:
        raise FourfoldError(f"{path} is empty: it holds no molecules")
    if blank:
        said.append(f"{path.name}: {blank:,} row{'' if blank == 1 else 's'} without a SMILES skipped")
    kept = []
    for (line, text), smiles in zip(rows, _canonical_of(rows, path, make), strict=True):
        if smiles == INVALID:
            bad.append((line, f"{shortened(text)!r} is not valid SMILES"))
        elif smiles == FLEETING:
            bad.append((line, f"{shortened(text)!r} has no SMILES that can be read again"))
        else:
            kept.append(smiles)
    if bad:
        bad.sort()
        reasons = "; ".join(f"line {line:,}: {reason}" for line, reason in bad[:3]) + (" ..." if len(bad) > 3 else "")
        message = f"{len(bad):,} of {total:,} molecules cannot be read ({reasons})"
        if len(bad) > max_invalid * total + 1e-9:  # 0.29 * 100 is 28.999999999999996
            raise FourfoldError(f"{path}: {message}; data.max_invalid allows {max_invalid:.3g} of them")
        said.append(f"{path.name}: skipped: {message}")
    return kept, said


def _is_table(path: Path) -> bool:
    return Path(path.name.lower().removesuffix(".gz")).suffix in (".csv", ".tsv")


def _canonical_of(rows: Rows, path: Path, make: Make) -> list[str]:
    """The canonical SMILES of each row of a file; `INVALID` or `FLEETING` where there is none."""
    jobs = [[text for _, text in rows[at : at + AT_ONCE]] for at in range(0, len(rows), AT_ONCE)]
    parts, _ = make(_canonical, jobs, what=f"reading molecules of {path.name}", sizes=[len(job) for job in jobs])
    return parts["text"].tobytes().decode().split("\n")[: len(rows)]


INVALID, FLEETING = "", "!"  # in place of a canonical SMILES, where there is none


def _canonical(smiles: Sequence[str]) -> Part:
    """The canonical SMILES of each string, a line each."""
    found = canonical(smiles)
    # What is written must be readable again: of a few molecules RDKit itself refuses the canonical SMILES.
    again = canonical([text or "" for text in found])
    lines = [INVALID if text is None else FLEETING if twin is None or TOKEN.sub("", text) else text
             for text, twin in zip(found, again, strict=True)]
    return {"text": np.frombuffer("".join(f"{line}\n" for line in lines).encode(), np.uint8)}, {}


def _line_rows(path: Path) -> tuple[Rows, Rows, list[str]]:
    """The SMILES of each line that is not blank, no damaged lines, nothing to tell."""
    fields = ((number, line.split()) for number, line in each_line(path))  # SMILES, then a name
    rows = [(number, cells[0]) for number, cells in fields if cells]
    return rows[bool(rows) and rows[0][1].lower() in COLUMNS :], [], []


def _table_rows(path: Path, column: str | None) -> tuple[Rows, Rows, list[str]]:
    """The SMILES cell of each row, damaged rows with what is wrong, and lines that tell of odd ones."""
    table = read_table(path, header=False)
    index, first = _smiles_column(table, column)
    cells = (cell.strip() for cell in table.columns[index])
    rows = list(zip(table.lines, cells, strict=True))[first:]
    return rows, [(row.line, row.reason) for row in table.dropped], replace(table, dropped=()).report()


def _smiles_column(table: Table, column: str | None) -> tuple[int, int]:
    """(index of the SMILES column, index of the first row of data)."""
    header = [cells[0].strip() for cells in table.columns]
    lowered = [name.casefold() for name in header]
    if column is not None:
        if column.strip().casefold() not in lowered:
            raise FourfoldError(f"{table.path} has no column {column!r}; its columns: "
                                f"{', '.join(map(shortened, header))}")
        return lowered.index(column.strip().casefold()), 1
    for name in COLUMNS:
        if name in lowered:
            return lowered.index(name), 1
    # No known name: the column whose cells are mostly molecules ("1" or "CC" alone would be too weak a sign).
    for index, column_cells in enumerate(table.columns):
        cells = [cell.strip() for cell in [*column_cells[1:21], header[index]]]
        valid = [cell for cell, mol in zip(cells, molecules(cells), strict=True) if mol is not None and len(cell) > 2]
        if len(valid) > len(cells) / 2:
            return index, 0 if header[index] in valid else 1
    raise FourfoldError(f"{table.path} has no column of SMILES; its columns: {', '.join(map(shortened, header))}; "
                        "name one with data.column")
