"""Simulators as environments of many episodes: in this process, or in processes of their own.

A process of its own bears what a user's environment may do: it can fail or hang, and its GL can abort. Results do not
depend on how many processes there are, as each episode is a function of its seed and of the actions it is given.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from apps.robotics.observations import Layout
from apps.robotics.simulation import Bools, Floats, Scene, Seen, Step
from apps.robotics.simulators import METAWORLD, Simulator, Spec, State
from core.errors import FourfoldError
from core.files import one_line
from core.runtime import cpu_count

PARALLEL = 16
"""Episodes that are stepped together."""
PATIENCE = 60.0
"""Seconds that an environment has for an answer."""
T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """What a simulator says of itself; see `Environment`."""

    limit: int
    observation: Layout
    action: Layout
    action_low: Floats
    action_high: Floats


def simulator(spec: Spec, index: int) -> Simulator:
    """The `index`-th simulator of this process.

    Raises:
        FourfoldError: no such environment, its packages are missing, or it cannot be used.
    """
    if spec.name in METAWORLD and spec.maker is None:
        from apps.robotics.manipulation import Manipulation

        return Manipulation(spec, index)
    from apps.robotics.gymnasium_tasks import Gymnasium, made

    return Gymnasium(spec if spec.maker is not None else replace(spec, maker=lambda: made(spec)))


class Slots:
    """The simulators of one process, by the place of their episode."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.made: dict[int, Simulator] = {}
        self.told: dict[int, str] = {}

    def facts(self) -> Facts:
        one = self._at(0)
        return Facts(one.limit, one.observation, one.action, one.action_low, one.action_high)

    def reset(self, seeds: dict[int, int]) -> dict[int, tuple[State, Scene]]:
        """Begin episodes: place -> seed."""
        found = {}
        for place, seed in seeds.items():
            one = self._at(place)
            self.told[place] = f"the start of the episode of seed {seed}"
            found[place] = (self._guarded(place, lambda one=one, seed=seed: one.reset(seed)),  # type: ignore[misc]
                            self._guarded(place, one.scene))
            self.told[place] = f"the episode of seed {seed}"
        return found

    def step(self, actions: dict[int, Floats]) -> dict[int, State]:
        """Apply an action in each place."""
        return {place: self._guarded(place, functools.partial(self.made[place].step, action))
                for place, action in actions.items()}

    def expert(self, places: Sequence[int]) -> dict[int, Floats]:
        """The scripted demonstrator's action in each place."""
        return {place: self._guarded(place, self.made[place].expert) for place in places}

    def frame(self, place: int) -> np.ndarray:
        """A picture of a place."""
        return self._guarded(place, self.made[place].frame)

    def _at(self, place: int) -> Simulator:
        if place not in self.made:
            self.told[place] = "making it"
            self.made[place] = self._guarded(place, lambda: simulator(self.spec, place))
        return self.made[place]

    def _guarded(self, place: int, call: Callable[[], T]) -> T:
        """What `call` returns; anything it raises is one line that says in which episode."""
        try:
            return call()
        except FourfoldError as error:
            where = "" if self.told[place] == "making it" else f"{self.spec.name}, {self.told[place]}: "
            raise FourfoldError(f"{where}{error}") from error
        except Exception as error:
            raise FourfoldError(f"{self.spec.name} fails in {self.told[place]} ({type(error).__name__}: "
                                f"{one_line(error)})") from error


class Worker:
    """Slots in a process of their own; `send` a method's name and arguments, then `receive` what it returns."""

    def __init__(self, spec: Spec) -> None:
        self.name = spec.name
        ours, theirs = Pipe()
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(dict.fromkeys([root, *(entry or os.getcwd() for entry in sys.path), os.getcwd()]))
        # One core each; no window.
        settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy",
                    "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
        if spec.drawn or spec.picture:
            settings |= gl(spec.name)
        script = f"from apps.robotics.workers import main; main({theirs.fileno()})"
        self.process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | settings,
                                        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        theirs.close()
        self.connection = ours
        ours.send(spec)
        self.close = weakref.finalize(self, _end, self.process, ours)

    def send(self, method: str, *arguments: object) -> None:
        """Ask for something."""
        try:
            self.connection.send((method, arguments))
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def receive(self) -> Any:
        """What was asked for.

        Raises:
            FourfoldError: the environment failed, does not answer, or its process is gone.
        """
        try:
            if not self.connection.poll(PATIENCE):
                self.close()
                raise FourfoldError(f"{self.name} has not answered for {PATIENCE:.0f} seconds: it was ended")
            good, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if not good:
            raise FourfoldError(answer)
        return answer

    def _gone(self) -> FourfoldError:
        try:
            code = self.process.wait(1)  # its pipe closes a moment before it is gone
        except subprocess.TimeoutExpired:
            code = None
        return FourfoldError(f"the process of {self.name} ended by itself (code {code}): see what it said above")


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    try:
        process.wait(1 if process.poll() is None else 0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Together:
    """Up to `PARALLEL` simulators as an environment; see `Environment`."""

    parallel = PARALLEL

    def __init__(self, spec: Spec, processes: int | None = None) -> None:
        """Args: processes: that the simulators are divided among; 0 takes this one. None: as many as there are cores,
        this one for Meta-World on a single core.

        Raises:
            FourfoldError: no such environment, or it cannot be made.
        """
        self.name, self.picture = spec.name, spec.picture
        if processes is None:
            cores = cpu_count()
            processes = 0 if cores == 1 and spec.name in METAWORLD else cores
        if spec.maker is not None:
            processes = 0  # a function of this process cannot be sent to another
        elif spec.drawn or spec.picture:
            processes = max(1, processes)
        self.hands: list[Slots | Worker] = [Worker(spec) for _ in range(processes)] or [Slots(spec)]
        facts: Facts = self._ask(0, "facts")
        self.limit, self.observation, self.action = facts.limit, facts.observation, facts.action
        self.action_low, self.action_high = facts.action_low, facts.action_high

    def reset(self, seeds: Sequence[int]) -> Seen:
        answers = self._all("reset", dict(enumerate(seeds)))
        self.states = [answers[place][0] for place in range(len(seeds))]
        self._scenes = [answers[place][1] for place in range(len(seeds))]
        return self._seen()

    def step(self, actions: Floats, active: Bools) -> Step:
        answers: dict[int, State] = self._all("step", {int(i): actions[i] for i in np.flatnonzero(active)})
        for place, state in answers.items():
            self.states[place] = state
        succeeded, ended = (np.array([getattr(state, name) for state in self.states]) & active
                            for name in ("succeeded", "ended"))
        rewards = np.array([state.reward for state in self.states]) * active
        return Step(self._seen(), succeeded, ended & ~succeeded, rewards)

    def choose(self, seeds: Sequence[int]) -> None:
        """Scripted experts of simulators choose nothing."""

    def expert(self, active: Bools) -> Floats:
        actions = np.zeros((len(active), self.action.width))
        for place, action in self._all("expert", dict.fromkeys(np.flatnonzero(active).tolist())).items():
            actions[place] = action
        return actions

    def scenes(self) -> list[Scene]:
        return self._scenes

    def places(self) -> Floats:
        return np.stack([state.place for state in self.states])

    def frame(self, place: int = 0) -> np.ndarray:
        """A picture of an episode's scene now, uint8 `[height, width, 3]`."""
        picture: np.ndarray = self._ask(place % len(self.hands), "frame", place)
        return picture

    def close(self) -> None:
        for hand in self.hands:
            if isinstance(hand, Worker):
                hand.close()

    def _seen(self) -> Seen:
        pictures = [state.picture for state in self.states if state.picture is not None]
        return Seen(np.stack([state.numbers for state in self.states]), np.stack(pictures) if pictures else None)

    def _ask(self, index: int, method: str, *arguments: object) -> Any:
        hand = self.hands[index]
        if isinstance(hand, Slots):
            return getattr(hand, method)(*arguments)
        hand.send(method, *arguments)
        return hand.receive()

    def _all(self, method: str, wanted: dict[int, Any]) -> dict[int, Any]:
        """Ask each process for its places, all at once."""
        shares: list[dict[int, Any]] = [{} for _ in self.hands]
        for place, value in wanted.items():
            shares[place % len(self.hands)][place] = value
        asked = [(hand, share) for hand, share in zip(self.hands, shares, strict=True) if share]
        found: dict[int, Any] = {}
        for hand, share in asked:
            if isinstance(hand, Worker):
                hand.send(method, share)
            else:
                found |= getattr(hand, method)(share)
        for hand, _ in asked:
            if isinstance(hand, Worker):
                found |= hand.receive()
        return found


def gl(name: str) -> dict[str, str]:
    """The settings with which MuJoCo draws without a window: EGL's, or OSMesa's where that works instead.

    Raises:
        FourfoldError: neither works, and the task is one that needs MuJoCo; the line says what to install.
    """
    found = _gl(os.environ.get("MUJOCO_GL"))
    if found is None and name in METAWORLD:
        raise FourfoldError("MuJoCo finds no GL to draw with: install libegl1 (or libosmesa6) and set MUJOCO_GL=egl "
                            "(or osmesa); training and rollouts need none")
    return found or {}


@functools.lru_cache(maxsize=4)
def _gl(given: str | None) -> dict[str, str] | None:
    backends = (given,) if given else ("egl", "osmesa") if sys.platform == "linux" else ("",)
    for backend in backends:
        settings = {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend} if backend else {}
        script = "import mujoco; mujoco.GLContext(16, 16).make_current()"
        try:
            subprocess.run([sys.executable, "-c", script], env=os.environ | settings, capture_output=True,
                           timeout=PATIENCE, check=True)
        except (subprocess.SubprocessError, OSError):
            continue
        return settings
    return None


def main(descriptor: int) -> None:
    """Answer until the other side closes."""
    connection = Connection(descriptor)
    slots = Slots(connection.recv())
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, getattr(slots, method)(*arguments))
        except FourfoldError as error:
            answer = (False, str(error))
        connection.send(answer)
