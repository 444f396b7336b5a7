"""MOSES' own measures, of the wheel molsets 0.3.1, which imports nothing that is installed today: a peer to agree with.

Its sources run as they are but for these lines: pandas reads its tables (here the csv module does), rdkit.six and
RDKit's old fingerprint function are gone, so are numpy's NaN and row_stack; its NP score is left out, which it never
uses in its table.
"""

from __future__ import annotations

import csv
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from apps.molecules.data import moses_file, moses_smiles
from core.data.sources import package_files

OLD_FINGERPRINT = "from rdkit.Chem.AllChem import GetMorganFingerprintAsBitVect as Morgan\n"
NEW_FINGERPRINT = """from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator


def Morgan(mol, radius, nBits):
    return GetMorganGenerator(radius=radius, fpSize=nBits).GetFingerprint(mol)


"""


def measures() -> Any:
    """The module moses.metrics.metrics."""
    home = package_files("molsets", "0.3.1", module="moses")
    np.NaN, np.row_stack = np.nan, np.vstack  # type: ignore[attr-defined]  # fcd_torch wants them too
    for name in ("moses", "moses.metrics", "moses.metrics.SA_Score", "moses.dataset"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["moses.dataset"].__dict__.update(get_dataset=lambda split: moses_smiles(moses_file(f"{split}.csv.gz")),
                                                 get_statistics=_statistics)
    code = (home / "utils.py").read_text()
    begin, end = code.index("def mapper("), code.index("class Logger(")
    more = code[code.index("def disable_rdkit_log(") : code.index("class StringDataset")]
    imports = "from multiprocessing import Pool\nfrom rdkit import Chem, rdBase\n\n"
    _module("moses.utils", imports + code[begin:end] + more, home / "utils.py")
    score = (home / "metrics" / "SA_Score" / "sascorer.py").read_text()
    score = score.replace("from rdkit.six import iteritems\n", "").replace("iteritems(fps)", "fps.items()")
    sys.modules["moses.metrics.SA_Score"].__dict__["sascorer"] = _module(
        "moses.metrics.SA_Score.sascorer", score, home / "metrics" / "SA_Score" / "sascorer.py")
    code = (home / "metrics" / "utils.py").read_text()
    for old, new in (("import pandas as pd\n", ""), (OLD_FINGERPRINT, NEW_FINGERPRINT), ("pd.Series", "()"),
                     ("from moses.metrics.NP_Score import npscorer\n", "")):
        code = _replaced(code, old, new)
    begin, end = code.index("_mcf = "), code.index("def canonic_smiles")
    code = f"{code[:begin]}_filters = [Chem.MolFromSmarts(text) for text in {_smarts()!r}]\n\n\n{code[end:]}"
    _module("moses.metrics.utils", code, home / "metrics" / "utils.py")
    path = home / "metrics" / "metrics.py"
    code = _replaced(path.read_text(), "from .utils", "from moses.metrics.utils")
    return _module("moses.metrics.metrics", code, path)


def _replaced(code: str, old: str, new: str) -> str:
    assert old in code, f"molsets 0.3.1 has no {old!r}"
    return code.replace(old, new)


def _module(name: str, code: str, path: Path) -> Any:
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(code, str(path), "exec"), module.__dict__)
    return module


def _statistics(split: str) -> Any:
    return np.load(moses_file(f"{split}_stats.npz"), allow_pickle=True)["stats"].item()


def _smarts() -> list[str]:
    with open(moses_file("mcf.csv"), newline="", encoding="utf-8") as stream:
        found = [row["smarts"] for row in csv.DictReader(stream)]
    with open(moses_file("wehi_pains.csv"), newline="", encoding="utf-8") as stream:
        return found + [row[0] for row in csv.reader(stream)]
