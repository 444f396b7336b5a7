"""Scaffolds kept and fragments linked, of MOSES' test molecules.

    python -m benchmarks.constrained --run runs/molecules/moses-autoregressive

Decorates 20 scaffolds of MOSES' scaffold test set and links 20 pairs of fragments of its test set, `--samples` each,
and writes benchmarks/results/constrained.json: of all samples drawn, nothing filtered, decorate_kept and link_kept
(valid, with what was given), with intervals, and of those kept decorate_unique and link_unique (different), and what
GenMol published for linking. Without `--run` recipe moses-autoregressive is trained for `--minutes`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from apps.molecules import chemistry, constrained
from apps.molecules.data import moses_file, moses_smiles
from apps.molecules.domain import DOMAIN, load
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import shortened, trained
from core.errors import FourfoldError
from core.metrics.intervals import wilson

PUBLISHED = {"link_kept": {"GenMol": 0.818}}
TARGETS = {"decorate_kept": 0.95, "decorate_unique": 0.80, "link_kept": 0.82}
COUNT = 20
LOST = 250  # samples that one counts for, none of which holds what was given


def scaffolds(count: int) -> list[str]:
    """Different Murcko scaffolds, of two rings or more, of MOSES' scaffold test set; any hydrogen may be replaced."""
    rows = moses_smiles(moses_file("test_scaffolds.csv.gz"))
    draws = np.random.default_rng(0).permutation(len(rows))[: 10 * count]
    return list(chemistry.scaffolds(chemistry.valid_molecules([rows[i] for i in draws])))[:count]


def pairs(count: int) -> list[tuple[str, str]]:
    """The two ends of test molecules whose middle was cut out, each of five atoms or more."""
    from rdkit.Chem import FragmentOnBRICSBonds, GetMolFrags, MolToSmiles

    rows, found = moses_smiles(moses_file("test.csv.gz")), []
    for index in np.random.default_rng(1).permutation(len(rows)):
        (mol,) = chemistry.molecules([rows[index]])
        pieces = GetMolFrags(FragmentOnBRICSBonds(mol), asMols=True)
        for piece in pieces:
            for atom in piece.GetAtoms():
                if atom.GetAtomicNum() == 0:
                    atom.SetIsotope(0)
        ends = [MolToSmiles(piece) for piece in pieces
                if sum(atom.GetAtomicNum() == 0 for atom in piece.GetAtoms()) == 1 and piece.GetNumAtoms() > 5]
        if len(ends) == 2 and len(pieces) > 2:
            found.append((ends[0], ends[1]))
        if len(found) == count:
            break
    return found


def totals(name: str, made: list[Callable[[], constrained.Kept]]) -> dict[str, Any]:
    """Shares over all samples, and of each thing that was given."""
    drawn = valid = kept = different = 0
    each: list[dict[str, Any]] = []
    for make in made:
        try:
            found = make()
        except FourfoldError as error:  # none of very many samples: counted as what was asked for, all lost
            each.append({"problem": str(error)})
            drawn += LOST
            continue
        drawn, valid = drawn + found.drawn, valid + found.valid
        kept, different = kept + found.kept, different + found.different
        each.append({"drawn": found.drawn, "kept": found.kept, "different": found.different,
                     "first": [molecule.smiles for molecule in found.molecules[:3]]})
        print(name, found.summary)
    return {
        f"{name}_valid": valid / drawn, f"{name}_kept": kept / drawn, f"{name}_kept_interval": wilson(kept, drawn),
        f"{name}_unique": different / max(kept, 1), f"{name}_drawn": drawn, f"{name}_each": each,
    }


def main() -> None:
    """Decorate, link, print, write; exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Scaffold decoration and fragment linking.")
    parser.add_argument("--run", type=Path, help="a trained run")
    parser.add_argument("--minutes", type=float, default=60, help="of training where no run is given")
    parser.add_argument("--samples", type=int, default=50, help="for each scaffold and pair")
    parser.add_argument("--output", type=Path, default=FOLDER / "constrained.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and samples: checks the benchmark")
    options = parser.parse_args()
    count, samples = (2, 4) if options.quick else (COUNT, options.samples)
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        if options.run is not None:
            model = load(options.run)
        elif options.quick:
            model, _ = trained(DOMAIN, shortened(DOMAIN.recipe("tour-autoregressive")), Path(scratch), None)
        else:
            model, _ = trained(DOMAIN, DOMAIN.recipe("moses-autoregressive"), Path(scratch), options.minutes)
    metrics: dict[str, Any] = {"model": model.recipe.name, "steps": model.recipe.train.length, "published": PUBLISHED}
    metrics |= totals("decorate", [
        lambda text=text, seed=seed: constrained.decorate(model, text, samples, seed=seed)  # type: ignore[misc]
        for seed, text in enumerate(scaffolds(count))])
    metrics |= totals("link", [
        lambda pair=pair, seed=seed: constrained.link(model, *pair, samples, seed=seed)  # type: ignore[misc]
        for seed, pair in enumerate(pairs(count))])
    for name, value in metrics.items():
        if isinstance(value, float):
            print(f"{name:18} {value:.3f}")
    write_result(options.output, metrics, started)
    sys.exit(0 if options.quick or all(metrics[name] >= value for name, value in TARGETS.items()) else 1)


if __name__ == "__main__":
    main()
