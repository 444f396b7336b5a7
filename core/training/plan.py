"""How many steps training takes, and how far it has come: fixed, or following a clock.

Learning rates, players' spans and families' own schedules follow the share of training that is done. Under a clock the
number of steps is not known before it ends, so the plan is revised as the speed turns out: the share that is done
stays, and the steps that are left share the rest. A revision is saved in the checkpoint that is written with it, so a
resumed run follows the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass

WARM = 8
"""Steps that are not timed: the first are slower."""
FIRST_REVISION = 1.0
"""Seconds of timed steps before the first revision."""
REVISIONS = 20
"""Revisions over a whole training."""


@dataclass(frozen=True)
class Plan:
    """A number of steps; of a revised plan, the step of the revision and the share done by then, in [0, 1)."""

    steps: int
    revised_at: int = 0
    share: float = 0.0

    def done(self, step: int) -> float:
        """The share of training that is done before step `step`, in [0, 1]."""
        return self.share + (1 - self.share) * (step - self.revised_at) / max(1, self.steps - self.revised_at)

    def position(self, step: int) -> int:
        """The share done, counted in steps: `step` itself unless the plan was revised."""
        if not self.revised_at:
            return step
        whole = int(self.done(step) * self.steps + 1e-9)
        return whole if step >= self.steps else min(whole, self.steps - 1)  # a step that is left is not yet done

    def revised(self, step: int, steps: int, share: float | None = None) -> Plan:
        """The plan to end after `steps` > `step` steps, with `share` done by now (as much as before unless given)."""
        return Plan(steps, step, min(self.done(step) if share is None else share, 0.999))


def steps_in(minutes: float, step: int, seconds: float, seconds_a_step: float) -> int:
    """The number of steps, all in all, that fits into `minutes` of which `seconds` and `step` steps are over."""
    return step + max(1, round((60 * minutes - seconds) / seconds_a_step))


def revision_due(minutes: float, plan: Plan, step: int, timed_steps: int, timed_seconds: float) -> bool:
    """Whether enough has been timed since the last revision to revise the plan; a first plan must not end unrevised."""
    if plan.revised_at:
        return timed_seconds >= max(FIRST_REVISION, 60 * minutes / REVISIONS)
    return timed_steps >= WARM and (timed_seconds >= FIRST_REVISION or 2 * step >= plan.steps)
