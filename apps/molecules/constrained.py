"""Molecules around what is given: the likelihood of molecules, a scaffold decorated, two fragments linked.

A model that fills gaps (masked diffusion) gets the given parts as SMILES with gaps between them. One that only
continues a prefix (autoregressive) gets the given part written so that the atom to continue from is the string's last:
of the many SMILES of a molecule, the one that the model finds likeliest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Unpack

import numpy as np
import torch

from apps.molecules import chemistry
from apps.molecules.codec import EOS, shortened, tokenize
from apps.molecules.data import MoleculeModel
from apps.molecules.designing import MOST_DRAWS, Molecule, described
from core.errors import FourfoldError, Unsupported, require
from core.families.family import SettingChanges
from core.runs.model import BATCH
from core.runs.tasks import Progress
from core.seeds import derive

if TYPE_CHECKING:
    from rdkit.Chem import Mol

WAYS = 60  # SMILES of a molecule among which the likeliest is looked for
STARTS = 4  # of them that samples begin with
POINTS = 3  # at most, of a scaffold that names none
SPARE = 1.2  # more samples than are still needed, as some are not valid


@dataclass(frozen=True)
class Scored:
    """A molecule, `nats` (-log p, or what bounds it) and its number of tokens; NaN and what is wrong where it has none.
    """

    smiles: str
    nats: float
    tokens: int
    problem: str = ""


@dataclass(frozen=True)
class Kept:
    """Different molecules that hold what was given, and how many samples they were found in.

    Attributes:
        molecules: in the order they were drawn.
        drawn, valid, kept: samples, those that are molecules, and those of them that hold what was given.
        different: of these, of which the first are in `molecules`.
    """

    molecules: list[Molecule]
    drawn: int
    valid: int
    kept: int
    different: int

    @property
    def summary(self) -> str:
        """The counts in a line."""
        return (f"{self.drawn:,} drawn: {self.valid:,} valid, {self.kept:,} hold what was given, "
                f"{self.different:,} of them different")


def score(model: MoleculeModel, smiles: Sequence[str], *, seed: int = 0, batch_size: int = BATCH) -> list[Scored]:
    """How likely each molecule is, as its canonical SMILES; without conditions.

    Raises:
        Unsupported: the model has no likelihood (a GAN).
    """
    found: list[Scored] = []
    for start in range(0, len(smiles), batch_size):
        some = smiles[start : start + batch_size]
        texts, problems = list(chemistry.canonical(some)), [""] * len(some)
        for row, text in enumerate(texts):
            if text is None:
                problems[row] = "not a valid molecule"
                continue
            try:
                model.codec.encode([text])
            except FourfoldError as error:
                problems[row] = str(error).partition(": ")[2] or str(error)
        batch = [row for row, problem in enumerate(problems) if not problem]
        nats, tokens = np.full(len(some), np.nan), np.zeros(len(some), int)
        if batch:
            nats[batch], tokens[batch] = _nats(model, [texts[row] or "" for row in batch], seed)
        found += [Scored(texts[row] or some[row], float(nats[row]), int(tokens[row]), problems[row])
                  for row in range(len(some))]
    return found


def summary(scored: Sequence[Scored], likelihood: str) -> str:
    """A line about all of them."""
    nats = [one.nats for one in scored if not one.problem]
    tokens = sum(one.tokens for one in scored)
    left = f"; {len(scored) - len(nats):,} cannot be scored" if len(nats) < len(scored) else ""
    if not nats:
        return f"none of {len(scored):,} can be scored"
    bits = sum(nats) / np.log(2) / tokens
    return f"{len(nats):,} molecules: {np.mean(nats):.2f} nats each, {bits:.3f} bits a token ({likelihood}){left}"


def _nats(model: MoleculeModel, texts: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nats `[N]` and tokens `[N]` of strings that can be encoded."""
    nats, tokens = [], []
    for start in range(0, len(texts), BATCH):
        batch = model.codec.encode(texts[start : start + BATCH])
        assert batch.mask is not None
        nats.append(model.bound_of(batch, seed, start).numpy())
        tokens.append(batch.mask.sum(1).numpy())
    return np.concatenate(nats), np.concatenate(tokens)


def decorate(
    model: MoleculeModel, scaffold: str, n: int, *, seed: int = 0, progress: Progress | None = None,
    **changes: Unpack[SettingChanges],
) -> Kept:
    """Up to `n` different molecules that hold `scaffold`, whose attachment points are written as `*`.

    A scaffold without any is decorated at one to three of its atoms that have hydrogens, chosen anew for each sample.

    Raises:
        FourfoldError: no valid scaffold, or one with tokens that training data lack; no such molecule was found.
        Unsupported: the model neither fills gaps nor continues a prefix (a GAN, a VAE).
    """
    template = _part(scaffold, "scaffold", None)
    named, free = _points(template), _free(template)
    if not named and not free:
        raise FourfoldError(f"the scaffold {shortened(scaffold)!r} has no hydrogen that something could replace")

    def drawn(count: int, round_: int) -> list[str]:
        draws = np.random.default_rng(derive(seed, round_, 0))
        mols = [template if named else _opened(template, _some(free, draws)) for _ in range(count)]
        return _decorated(model, mols, draws, derive(seed, round_, 1), changes)

    return _kept(drawn, [_query(template)], n, progress or Progress())


def link(
    model: MoleculeModel, first: str, second: str, n: int, *, seed: int = 0, progress: Progress | None = None,
    **changes: Unpack[SettingChanges],
) -> Kept:
    """Up to `n` different molecules in which something joins the attachment points `*` of two fragments, one each.

    Raises: as `decorate`.
    """
    ends = _part(first, "first fragment", 1), _part(second, "second fragment", 1)
    from rdkit.Chem import MolToSmiles

    last = MolToSmiles(ends[1], rootedAtAtom=_points(ends[1])[0]).removeprefix("*")

    def drawn(count: int, round_: int) -> list[str]:
        draws = np.random.default_rng(derive(seed, round_, 0))
        begins = _likeliest(model, _written(ends[0], derive(seed, round_, 2)), STARTS)
        rows = [(_bare(begins[i % len(begins)])[0], last) for i in range(count)]
        try:
            return _filled(model, rows, draws, derive(seed, round_, 1), changes)
        except Unsupported:
            return _joined(model, rows, derive(seed, round_, 1), changes)

    return _kept(drawn, [_query(end) for end in ends], n, progress or Progress())


def _kept(drawn: Callable[[int, int], list[str]], queries: Sequence[Mol], n: int, progress: Progress) -> Kept:
    """Samples until `n` different ones hold all `queries`, apart from each other, or very many were drawn."""
    require(n >= 1, "the number of molecules", n, "must be at least 1")
    found: dict[str, None] = {}
    count = valid = kept = rounds = 0
    while len(found) < n and count < MOST_DRAWS * n:
        size = min(BATCH, max(8, int(SPARE * (n - len(found)))))
        texts = chemistry.valid_canonical(drawn(size, rounds))
        holding = [text for text, mol in zip(texts, chemistry.valid_molecules(texts), strict=True)
                   if "." not in text and _holds(mol, queries)]
        count, valid, kept, rounds = count + size, valid + len(texts), kept + len(holding), rounds + 1
        found |= dict.fromkeys(holding)
        progress.step(min(len(found), n), n)
    if not found:
        raise FourfoldError(f"none of {count:,} samples, of which {valid:,} are valid, holds what was given: train the "
                            "model longer, or give parts that are more like its training molecules")
    return Kept(described(list(found)[:n]), count, valid, kept, len(found))


def _holds(mol: Mol, queries: Sequence[Mol]) -> bool:
    """Whether a molecule has all parts, without a common atom."""
    if len(queries) == 1:
        return bool(mol.HasSubstructMatch(queries[0]))
    matches = [mol.GetSubstructMatches(query, uniquify=True, maxMatches=200) for query in queries]
    return any(not set(one) & set(other) for one in matches[0] for other in matches[1])


# --------------------------------------------------------------------------------------------- parts as molecules


def _part(text: str, what: str, points: int | None) -> Mol:
    """A part given by a user, whose attachment points are plain `*`."""
    (mol,) = chemistry.molecules([text])
    if mol is None:
        raise FourfoldError(f"the {what} {shortened(text)!r} is not valid SMILES")
    if "." in text:
        raise FourfoldError(f"the {what} {shortened(text)!r} has several parts: it must be one")
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            if atom.GetDegree() != 1:
                raise FourfoldError(f"the {what} {shortened(text)!r}: an attachment point * must have one bond")
            atom.SetAtomMapNum(0)
            atom.SetIsotope(0)
    found = len(_points(mol))
    if points is not None and found != points:
        raise FourfoldError(f"the {what} {shortened(text)!r} has {found} attachment points: it must have one, written "
                            "*, as in *c1ccccc1")
    if found == mol.GetNumAtoms():
        raise FourfoldError(f"the {what} {shortened(text)!r} holds no atoms")
    return mol


def _points(mol: Mol) -> list[int]:
    return [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]


def _free(mol: Mol) -> list[int]:
    """Atoms that have a hydrogen to replace."""
    return [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetTotalNumHs() > 0]


def _some(atoms: Sequence[int], draws: np.random.Generator) -> list[int]:
    """One to three of them at random."""
    chosen: list[int] = draws.permutation(atoms)[: draws.integers(1, POINTS + 1)].tolist()
    return chosen


def _opened(mol: Mol, atoms: Sequence[int]) -> Mol:
    """The molecule with attachment points at atoms that have a hydrogen."""
    from rdkit.Chem import Atom, BondType, RWMol, SanitizeMol

    made = RWMol(mol)
    for index in atoms:
        atom = made.GetAtomWithIdx(index)
        if atom.GetNumExplicitHs():  # [nH]
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
        made.AddBond(index, made.AddAtom(Atom(0)), BondType.SINGLE)
    SanitizeMol(made, catchErrors=True)
    return made.GetMol()


def _query(mol: Mol) -> Mol:
    """What a molecule must have: the part without its attachment points, its hydrogens free to be replaced."""
    from rdkit.Chem import AdjustQueryParameters, AdjustQueryProperties, DeleteSubstructs, MolFromSmarts

    bare = DeleteSubstructs(mol, MolFromSmarts("[#0]"))
    settings = AdjustQueryParameters.NoAdjustments()
    return AdjustQueryProperties(bare, settings)


def _written(mol: Mol, seed: int, ways: int = WAYS) -> list[str]:
    """Different SMILES of a part that end with one of its attachment points.

    Raises:
        FourfoldError: none is found.
    """
    from rdkit.Chem import MolToRandomSmilesVect, MolToSmiles

    texts = dict.fromkeys(MolToRandomSmilesVect(mol, 4 * ways, randomSeed=1 + seed % 2**30))
    found = [text for text in texts if text.endswith("*")][:ways]
    if not found:
        raise FourfoldError(f"{MolToSmiles(mol)}: no SMILES found that ends with an attachment point")
    return found


def _bare(text: str) -> tuple[str, list[int]]:
    """What stands before the last attachment point of a SMILES that ends with it, hydrogens at its other points; and
    the atoms there that have these, by their places in the string."""
    from rdkit.Chem import MolFromSmiles

    mol, tokens = MolFromSmiles(text), tokenize(text)
    at = [index for index, token in enumerate(tokens) if token[0].isalpha() or token[0] in "[*"]  # tokens of atoms
    *others, last = _points(mol)
    heavy = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 0]
    atoms = []
    for point in others:
        (neighbour,) = mol.GetAtomWithIdx(point).GetNeighbors()
        atoms.append(heavy.index(neighbour.GetIdx()))
        if tokens[at[neighbour.GetIdx()]] == "n":
            tokens[at[neighbour.GetIdx()]] = "[nH]"
        tokens[at[point]] = ""
        bond = at[point] - 1 if at[point] else 1  # before it, but for a point that begins the string
        if tokens[bond] in tuple("=#-"):
            tokens[bond] = ""
    tokens[at[last]] = ""
    return "".join(tokens).replace("()", ""), atoms


# --------------------------------------------------------------------------------------------------- parts as tokens


def _likeliest(model: MoleculeModel, texts: Sequence[str], count: int) -> list[str]:
    """The `count` of SMILES ending with an attachment point whose strings before it the model finds likeliest."""
    if len(texts) > count:
        nats, _ = _nats(model, [_bare(text)[0] for text in texts], 0)
        texts = [texts[i] for i in nats.argsort(kind="stable")[:count]]
    return list(texts)


def _ids(model: MoleculeModel, text: str) -> list[int]:
    """Ids of a piece of SMILES, without an end."""
    return [int(i) for i in model.codec.encode([text]).x[0] if i != EOS] if text else []


def _decorated(
    model: MoleculeModel, mols: Sequence[Mol], draws: np.random.Generator, seed: int, changes: SettingChanges
) -> list[str]:
    """A string for each part, in which something is written at each of its attachment points."""
    from rdkit.Chem import MolToSmiles

    try:
        return _filled(model, [MolToSmiles(mol).replace("[*]", "*").split("*") for mol in mols], draws, seed, changes)
    except Unsupported:
        pass
    # One point after the other: what is written at a string's end becomes a part of the next string.
    texts, parts, step = [""] * len(mols), dict(enumerate(mols)), 0
    while parts:
        same: dict[str, list[int]] = {}
        for row, mol in parts.items():
            same.setdefault(MolToSmiles(mol), []).append(row)
        begun: dict[int, tuple[str, list[int]]] = {}
        for rows in same.values():
            ways = _likeliest(model, _written(parts[rows[0]], derive(seed, step), max(2, WAYS // len(same))), STARTS)
            begun |= {row: _bare(ways[index % len(ways)]) for index, row in enumerate(rows)}
        made = _continued(model, [text for text, _ in begun.values()], derive(seed, step), changes)
        parts, step = {}, step + 1
        for (row, (_, atoms)), text, whole in zip(begun.items(), made, chemistry.molecules(made), strict=True):
            texts[row] = text
            if atoms and whole is not None:
                parts[row] = _opened(whole, atoms)
    return texts


def _continued(model: MoleculeModel, prefixes: Sequence[str], seed: int, changes: SettingChanges) -> list[str]:
    """A string that begins with each prefix."""
    ids = [_ids(model, prefix) for prefix in prefixes]
    texts = [""] * len(ids)
    for length in sorted({len(row) for row in ids}):
        rows = [index for index, row in enumerate(ids) if len(row) == length]
        batch = model.continue_prefix(torch.tensor([ids[row] for row in rows]), seed=derive(seed, length), **changes)
        for row, text in zip(rows, model.codec.decode(batch), strict=True):
            texts[row] = text
    return texts


def _filled(
    model: MoleculeModel, rows: Sequence[Sequence[str]], draws: np.random.Generator, seed: int, changes: SettingChanges
) -> list[str]:
    """Strings of pieces, between which there is something: as long in all as training molecules are."""
    space, known = model.codec.space, []
    shares = np.array(space.length_histogram)
    for pieces in rows:
        ids = [_ids(model, piece) for piece in pieces]
        gaps, least = len(ids) - 1, sum(map(len, ids)) + len(ids)  # a token a gap, and the end
        if least > space.length:
            raise FourfoldError(f"what is given has {least - len(ids)} tokens: this model takes at most "
                                f"{space.length - len(ids)}")
        weights = shares[least - 1 :] + 1e-9
        spare = int(draws.choice(len(weights), p=weights / weights.sum()))
        sizes = 1 + draws.multinomial(spare, [1 / gaps] * gaps)
        row = list(ids[0])
        for size, piece in zip(sizes, ids[1:], strict=True):
            row += [-1] * int(size) + piece
        known.append([*row, EOS])
    longest = max(map(len, known))
    tokens = torch.tensor([row + [EOS] * (longest - len(row)) for row in known])
    return model.codec.decode(model.fill(tokens, seed=seed, **changes))


def _joined(
    model: MoleculeModel, rows: Sequence[tuple[str, str]], seed: int, changes: SettingChanges
) -> list[str]:
    """The first string of each row continued, and cut where the second, put there, makes the likeliest molecule."""
    candidates: list[str] = []
    owners: list[int] = []
    made = _continued(model, [begin for begin, _ in rows], seed, changes)
    for row, ((begin, end), text) in enumerate(zip(rows, made, strict=True)):
        found = [f"{begin}{linker}{end}" for linker in _linkers(text[len(begin) :])] or [begin + end]
        fitting = [text for text in found if len(tokenize(text)) < model.codec.space.length] or [begin + end]
        candidates += fitting
        owners += [row] * len(fitting)
    nats, tokens = _nats(model, candidates, 0)
    best: dict[int, int] = {}
    for index in (nats / tokens).argsort(kind="stable").tolist():
        best.setdefault(owners[index], index)
    return [candidates[best[row]] for row in range(len(rows))]


def _linkers(text: str) -> list[str]:
    """The beginnings of a piece of SMILES after which a chain may go on: no branch or ring is open."""
    found, begun, depth, rings = [], "", 0, set[str]()
    tokens = [*(tokenize(text) if text else []), ""]
    for token, after in pairwise(tokens):
        begun += token
        if token in "()":
            depth += 1 if token == "(" else -1
        elif token.isdigit() or token.startswith("%"):
            rings ^= {token}
        if depth < 0:
            break  # a bracket of nothing: no molecule
        if depth == 0 and not rings and token not in "=#-/\\:" and not (after.isdigit() or after.startswith("%")):
            found.append(begun)
    return found
