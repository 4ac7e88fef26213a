"""Crash of a dispatcher or a child at a chosen step, as by SIGKILL: enabled by the environment, for tests only."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import Enum
from typing import Any

from tests.chaos.variables import CRASH_VARIABLE


class When(Enum):
    """Moment of the crash relative to a function of the tick."""

    BEFORE = "before"
    AFTER = "after"
    HALF = "with half of the messages sent"


# In the order of the tick. `_publish` comes after the commit.
STEPS: dict[str, tuple[str, When]] = {
    "lead": ("lead_pool", When.AFTER),
    "collect": ("collect_settled", When.AFTER),
    "wake": ("fold_wakes", When.AFTER),
    "read": ("read_pool", When.AFTER),
    "pick": ("pick_and_lock", When.AFTER),
    "claim": ("claim_jobs", When.AFTER),
    "clocks": ("advance_clocks", When.AFTER),
    "commit": ("_publish", When.BEFORE),
    "half": ("_publish", When.HALF),
    "publish": ("_publish", When.AFTER),
}
# Step of each child of a worker: a list's job is settled, and the next one has begun in the database but has not run.
TURN = "turn"


def arm() -> None:
    """Wrap the step in CHAOS_CRASH_AT: `STEP:N`, at its Nth call."""
    asked = os.environ.get(CRASH_VARIABLE, "")
    if not asked:
        return
    from scheduling.dispatch import tick
    from scheduling.execution import prefetch_list

    step, _, times = asked.partition(":")
    if step == TURN:
        prefetch_list.settle_and_begin = _dying_at_turn(prefetch_list.settle_and_begin, int(times))
        return
    name, when = STEPS[step]
    setattr(tick, name, _dying(getattr(tick, name), int(times), when, is_publishing=name == "_publish"))


def _dying_at_turn(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    left = times

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        turnover = function(*args, **kwargs)
        left -= turnover.begun is not None
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return turnover

    return wrapped


def _dying(function: Callable[..., Any], times: int, when: When, *, is_publishing: bool) -> Callable[..., Any]:
    left = times

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        # Calls of publishing count only if there is something to publish.
        if is_publishing and not args[1]:
            return function(*args, **kwargs)
        left -= 1
        if left > 0:
            return function(*args, **kwargs)
        if when is When.HALF:
            pool_id, claims = args
            function(pool_id, claims[: len(claims) // 2])
        elif when is When.AFTER:
            function(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    return wrapped
