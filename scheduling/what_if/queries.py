"""Query that predicts the effect of changed settings by replaying the last hour's work with and without them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from scheduling.exceptions import WhatIfNameUnknownError
from scheduling.fairness.lab.load import Change, PoolScenario, UnknownNameError
from scheduling.fairness.lab.what_if import ScenarioResult, WhatIf, what_if
from scheduling.what_if.recent_load import WINDOW, read_recent_load
from tenants.requests.features import require_feature

# Cache of the last replayed load without a change: valid until its jobs are read again or the terms change.
_last: list[ScenarioResult] = []


def answer_what_if(change: Change, *, pool: str | None = None, window: timedelta = WINDOW) -> WhatIf:
    """Replay the last ``window`` of ``pool`` with the present and with the changed settings; return both results.

    Without ``pool``, the pool that serves most queues is replayed. The replay begins with the jobs that wait and run
    now, as of some seconds ago; nothing is written. Raise PoolNotFoundError or WhatIfNameUnknownError.

    >>> answer = answer_what_if(Change(plan_weights={"sandbox": 3}, slots=16)) >>> answer.plans, answer.losers,
    answer.notes # lists of Line, Line and Note
    """
    require_feature("what_if")
    try:
        with _uncollected():
            recent = read_recent_load(pool, window=window, may_be_kept=True)
            return what_if(recent.load, change, notes=recent.notes, now=_replayed(recent.load))
    except UnknownNameError as error:
        refusal = WhatIfNameUnknownError("The last hour of this pool has no “%(name)s”.", {"name": error.name[:100]})
        refusal.errors = [{"field": error.field, "code": refusal.code, "detail": refusal.detail}]
        raise refusal from error


def _replayed(load: PoolScenario) -> ScenarioResult:
    for side in _last:
        if side.load.arrivals is load.arrivals and side.load == load:
            return side
    _last[:] = [ScenarioResult(load)]
    return _last[0]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Run the block with the garbage collector disabled.

    A replay creates no cycles, but hundreds of thousands of objects, which the collector would visit several times:
    that would take a third of the run time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
