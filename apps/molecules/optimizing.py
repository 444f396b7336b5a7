"""Goal-directed design: REINVENT (Olivecrona et al. 1704.07555) with experience replay and a diversity filter.

An agent, which begins as the model, draws molecules; they are scored, and it is trained towards the model's likelihood
augmented by their scores (`core.training.reward`). The best so far are shown again and again; a scaffold that has given
many good molecules is not rewarded any more (Blaschke et al. 2020, J. Cheminform. 12, 68).
"""

from __future__ import annotations

import csv
import io
import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from apps.molecules import chemistry, media, objectives
from apps.molecules.codec import EOS
from apps.molecules.data import MoleculeModel
from core.batches import Batch
from core.errors import FourfoldError, require
from core.files import is_vacant, one_writer, write_atomically
from core.runs.tasks import Progress
from core.seeds import derive
from core.serialization import Json
from core.training import checkpoint
from core.training.reward import Agent, RewardConfig

EVERY = 100
"""Calls of the objective between points of the curve, as PMO has it."""
REPLAYED = 100
"""The best molecules that replay draws from."""
GOOD = 0.4
"""From this score on a molecule counts for its scaffold."""
DRY = 50
"""Steps in a row without a new molecule after which the search ends."""
SAVED = 15.0
"""Seconds after which the search is saved again."""

log = logging.getLogger(__name__)
Oracle = Callable[[Sequence[str]], np.ndarray]
"""Valid canonical SMILES -> scores `[N]` in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How to search.

    Attributes:
        calls: different molecules that are scored at most.
        batch: molecules drawn in a step; replay: of the best so far that are shown with them.
        bucket: good molecules of a scaffold after which it is not rewarded any more; 0 for no such filter.
        reward: how the agent follows its rewards.
        seed: of every random draw.
    """

    calls: int = 10_000
    batch: int = 64
    replay: int = 24
    bucket: int = 25
    reward: RewardConfig = field(default_factory=RewardConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        for key, low in (("calls", 1), ("batch", 1), ("replay", 0), ("bucket", 0)):
            require(low <= getattr(self, key) <= 10**7, key, getattr(self, key), f"must be at least {low}")


@dataclass(frozen=True)
class Point:
    """The search after some calls: the best score, and the means of the best 10 and 100."""

    calls: int
    best: float
    top_10: float
    top_100: float


@dataclass
class Search:
    """All that changes.

    Attributes:
        scores: of each different valid molecule, canonical, in the order they were first drawn.
        replay: token ids of the best.
        scaffolds: good molecules of each.
        drawn, valid: samples so far.
        dry: steps since the last new molecule.
    """

    agent: Agent
    scores: dict[str, float] = field(default_factory=dict)
    replay: dict[str, list[int]] = field(default_factory=dict)
    scaffolds: Counter[str] = field(default_factory=Counter)
    step: int = 0
    drawn: int = 0
    valid: int = 0
    dry: int = 0

    def best(self, n: int) -> list[tuple[str, float]]:
        """The `n` molecules of the highest scores."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:n]


def optimize(
    model: MoleculeModel, goals: Sequence[str | Callable[[str], float]] | Oracle, config: SearchConfig | None = None, *,
    folder: Path | None = None, seconds: float = 60.0, progress: Progress | None = None,
) -> Search:
    """Search for molecules of high score.

    Args:
        goals: objectives in words (see `apps.molecules.objectives`) and functions of a SMILES string, which are
            multiplied; or one function of many, SMILES -> scores.
        folder: where state, curve and the best so far are kept; the same call goes on there.
        seconds: that a function named by "call:" may take for a molecule.

    Raises:
        FourfoldError: an objective that fails or gives no number from 0 to 1; a folder of another search.
        Unsupported: the model has no exact likelihood (it must be autoregressive).
    """
    config = config or SearchConfig()
    oracle = goals if callable(goals) else oracle_of(goals, seconds)
    search = Search(Agent(model.family, config.reward))
    identity: Json = {"goals": None if callable(goals) else [goal if isinstance(goal, str) else None for goal in goals],
                      "model": zlib.crc32(checkpoint.to_bytes(model.family.state_dict())),
                      "settings": {key: value for key, value in asdict(config).items() if key != "calls"}}
    progress = progress or Progress()
    with nullcontext() if folder is None else one_writer(folder):
        if folder is not None:
            _take_up(search, folder, identity)
        saved, told = time.monotonic(), len(search.scores) * 10 // config.calls
        try:
            while len(search.scores) < config.calls and search.dry < DRY:
                _step(search, model, oracle, config)
                progress.step(min(len(search.scores), config.calls), config.calls)
                if folder is not None and time.monotonic() - saved > SAVED:
                    _save(search, folder, identity, config.calls)
                    saved = time.monotonic()
                if told < (told := len(search.scores) * 10 // config.calls):
                    _tell(search)
        finally:
            if folder is not None and search.scores:
                _save(search, folder, identity, config.calls)
        if search.dry >= DRY:
            log.warning("the search ends after %s calls: %s steps gave no new molecule", len(search.scores), DRY)
    return search


def oracle_of(goals: Sequence[str | Callable[[str], float]], seconds: float) -> Oracle:
    """The product of objectives.

    Raises:
        FourfoldError: there is none, or one is not understood.
    """
    if not goals:
        raise FourfoldError("no objective: name one, such as qed or similar:SMILES")
    parsed = [objectives.parse(goal, seconds) if isinstance(goal, str) else _called(goal) for goal in goals]
    return lambda smiles: objectives.product(parsed, smiles)


def _called(function: Callable[[str], float]) -> objectives.Objective:
    return objectives.Objective(getattr(function, "__name__", "a function"), 1.0,
                                lambda smiles, mols: np.array([function(text) for text in smiles], float))


def _step(search: Search, model: MoleculeModel, oracle: Oracle, config: SearchConfig) -> None:
    """Draw, score, train; a function of the state, the seed and the step."""
    agent = replace(model, family=search.agent.family)
    drawn = agent.sample_batch(config.batch, seed=derive(config.seed, search.step))
    found = chemistry.canonical(model.codec.decode(drawn))
    new = [text for text in dict.fromkeys(found) if text is not None and text not in search.scores]
    new = new[: config.calls - len(search.scores)]
    frames = _frames([text for text in dict.fromkeys(found) if text is not None])
    for text, score in zip(new, oracle(new) if new else [], strict=True):
        search.scores[text] = float(score)
        if score >= GOOD:
            search.scaffolds[frames[text]] += 1
    full = {text for text, frame in frames.items() if 0 < config.bucket < search.scaffolds[frame]}
    rewards = [0.0 if text is None or text in full else search.scores.get(text, 0.0) for text in found]
    rows = [row[keep].tolist() for row, keep in zip(drawn.x, _mask(drawn), strict=True)]
    again = sorted(search.replay)
    if again and config.replay:
        picks = np.random.default_rng(derive(config.seed, search.step, 1)).permutation(len(again))[: config.replay]
        rows += [search.replay[again[i]] for i in picks]
        rewards += [search.scores[again[i]] for i in picks]
    search.agent.step(_padded(rows), torch.tensor(rewards))
    search.replay |= {text: row for text, row in zip(found, rows, strict=False)
                      if text is not None and text not in full and search.scores.get(text, 0) > 0}
    kept = sorted(search.replay, key=lambda text: (-search.scores[text], text))[:REPLAYED]
    search.replay = {text: search.replay[text] for text in kept}
    search.step += 1
    search.drawn += config.batch
    search.valid += sum(text is not None for text in found)
    search.dry = 0 if new else search.dry + 1


def _frames(smiles: Sequence[str]) -> dict[str, str]:
    """The Murcko scaffold of each molecule; of one without rings, "".

    Molecules of which RDKit finds none have "" too.
    """
    return {text: next(iter(chemistry.scaffolds([mol], min_rings=0)), "")
            for text, mol in zip(smiles, chemistry.valid_molecules(smiles), strict=True)}


def _mask(batch: Batch) -> Tensor:
    return torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask


def _padded(rows: Sequence[Sequence[int]]) -> Batch:
    longest = max(map(len, rows))
    x = torch.tensor([[*row, *[EOS] * (longest - len(row))] for row in rows])
    return Batch(x, {}, torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None])


# ------------------------------------------------------------------------------------------------------- the measure


def curve(scores: Sequence[float], every: int = EVERY) -> list[Point]:
    """The search as it went, after each `every` calls and at the end; `scores` in the order of the calls."""
    points, values = [], np.array(scores)
    for calls in [*range(every, len(values), every), len(values)] if len(values) else []:
        top = np.sort(values[:calls])[::-1]
        points.append(Point(calls, float(top[0]), float(top[:10].mean()), float(top[:100].mean())))
    return points


def auc_top_10(scores: Sequence[float], calls: int) -> float:
    """PMO's measure (Gao et al. 2206.12411): the area under the mean of the best ten so far over `calls` calls, 0 to 1.

    What ended earlier keeps its last value.
    """
    points = [(0, 0.0), *((point.calls, point.top_10) for point in curve(list(scores)[:calls]))]
    area = sum((b - a) * (low + high) / 2 for (a, low), (b, high) in zip(points[:-1], points[1:], strict=True))
    return (area + (calls - points[-1][0]) * points[-1][1]) / calls


def summary(search: Search, calls: int) -> str:
    """What was found, in lines."""
    scores = list(search.scores.values())
    if not scores:
        return f"none of {search.drawn:,} samples is a valid molecule"
    last, area = curve(scores)[-1], auc_top_10(scores, calls)
    best = "\n".join(f"{score:.4f}  {text}" for text, score in search.best(10))
    return (f"{best}\n{len(scores):,} molecules scored, {search.valid:,} of {search.drawn:,} samples valid; best "
            f"{last.best:.4f}, best ten {last.top_10:.4f}, area under these {area:.4f}")


def _tell(search: Search) -> None:
    (text, score), last = search.best(1)[0], curve(list(search.scores.values()))[-1]
    log.warning("%s calls: best %.4f, best ten %.4f (%s)", f"{len(search.scores):,}", score, last.top_10, text)


# --------------------------------------------------------------------------------------------------------- the folder


def _save(search: Search, folder: Path, identity: Json, calls: int) -> None:
    """State, curve.csv, and the best hundred as best.csv, best.sdf and best.png."""
    texts = sorted(search.replay)
    tensors = search.agent.state() | {f"replay/{i}": torch.tensor(search.replay[text]) for i, text in enumerate(texts)}
    checkpoint.save(folder / "state", tensors, {
        **identity, "step": search.step, "drawn": search.drawn, "valid": search.valid, "dry": search.dry,
        "scores": [[text, score] for text, score in search.scores.items()], "replay": texts,
    })
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["calls", "best", "top_10", "top_100"])
    table.writerows([p.calls, f"{p.best:.6f}", f"{p.top_10:.6f}", f"{p.top_100:.6f}"]
                    for p in curve(list(search.scores.values())))
    write_atomically(folder / "curve.csv", stream.getvalue().encode())
    media.write_table([{"smiles": text, "score": score} for text, score in search.best(100)], folder, "best")


def _take_up(search: Search, folder: Path, identity: Json) -> None:
    """Go on where a folder's search was saved.

    Raises:
        FourfoldError: it holds another search, or something else.
    """
    saved = checkpoint.load(folder / "state", log.warning)
    if saved is None:
        if not is_vacant(folder):
            raise FourfoldError(f"{folder} is not empty and holds no search: choose another folder")
        return
    for key, value in identity.items():
        if saved.facts.get(key) != value:
            raise FourfoldError(f"{folder} holds a search with another {key}: choose another folder, or remove it")
    agent = {name: value for name, value in saved.tensors.items() if not name.startswith("replay/")}
    search.agent.load(agent)
    facts = saved.facts
    search.scores = {text: score for text, score in facts["scores"]}
    search.replay = {text: saved.tensors[f"replay/{i}"].tolist() for i, text in enumerate(facts["replay"])}
    good = [text for text, score in search.scores.items() if score >= GOOD]
    search.scaffolds = Counter(_frames(good).values())
    search.step, search.drawn, search.valid, search.dry = (facts[key] for key in ("step", "drawn", "valid", "dry"))
    log.warning("goes on after %s calls", f"{len(search.scores):,}")
