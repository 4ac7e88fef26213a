"""What would happen to everybody if the terms were others: the last hour's work replayed now and after the change."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from scheduling.exceptions import WhatIfNameUnknownError
from scheduling.fairness.lab.load import Change, Load, UnknownNameError
from scheduling.fairness.lab.what_if import Side, WhatIf, what_if
from scheduling.what_if.recent_load import WINDOW, read_recent_load

# The load that was replayed last, as it is: it is the same until its jobs are read anew or the terms are changed.
_last: list[Side] = []


def answer_what_if(change: Change, *, pool: str | None = None, window: timedelta = WINDOW) -> WhatIf:
    """Replay the last ``window`` of ``pool`` under the terms of now and under changed ones.

    By default the pool is the one that serves most queues. What waits and runs now, give or take some seconds, is where
    it begins; nothing is written. Raises PoolNotFoundError, WhatIfNameUnknownError.

    >>> answer = answer_what_if(Change(plan_weights={"sandbox": 3}, slots=16))
    >>> answer.plans, answer.losers, answer.notes  # lists of Line, Line and Note
    """
    try:
        with _uncollected():
            recent = read_recent_load(pool, window=window, may_be_kept=True)
            return what_if(recent.load, change, notes=recent.notes, now=_replayed(recent.load))
    except UnknownNameError as error:
        refusal = WhatIfNameUnknownError("In this pool's last hour there is no “%(name)s”.", {"name": error.name[:100]})
        refusal.errors = [{"field": error.field, "code": refusal.code, "detail": refusal.detail}]
        raise refusal from error


def _replayed(load: Load) -> Side:
    for side in _last:
        if side.load.arrivals is load.arrivals and side.load == load:
            return side
    _last[:] = [Side(load)]
    return _last[0]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, of which a replay makes none.

    It makes rows and picks by the hundred thousand, so that the collector would walk all of them, and what else the
    process has, several times: a third of an answer's time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
