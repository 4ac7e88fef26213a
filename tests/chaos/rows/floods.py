"""Tenant that floods, and caps that change in flight."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import batched, pairwise
from uuid import UUID

from jobsplatform.demo.measures import percentile
from scheduling.jobs.cancellation import cancel_jobs
from tenants.context import tenant_context
from tests.chaos.row import Field, Row, bound_factor
from tests.chaos.stack import Shape

CANCELLED_AT_ONCE = 5_000
WAITS = """
SELECT extract(epoch FROM min(s.at) - min(q.at))::float8 FROM scheduling_jobevent q
JOIN scheduling_jobevent s ON s.job_id = q.job_id AND s.name = 'execution.started'
WHERE q.name = 'job.submitted' AND q.tenant_id = ANY (%s) AND q.at > to_timestamp(%s) GROUP BY q.job_id
"""
_IN_FLIGHT = "SELECT count(*) FROM scheduling_execution_live WHERE tenant_id = %s AND started_at IS NOT NULL"
_LATE_STARTS = """
SELECT extract(epoch FROM max(d.at))::float8 FROM scheduling_jobevent d
WHERE d.name = 'job.dispatched' AND d.tenant_id = %s AND d.at > to_timestamp(%s)
"""


class Flood(Row):
    id, fault = "F1", "100,000 jobs of one tenant while two others submit one every half second"
    minutes = 4.0
    bound_seconds, measured = 2.0, "increase of the others' p95 from submission to start"
    shape = Shape(workers=1, slots=4, caps=(4, 2, 2))
    traffic = None
    seeds = 1
    is_alone = True
    may_cancel = True
    drain_seconds = 600.0
    JOBS, OTHERS_JOBS = 100_000, 40

    def inject(self, field: Field) -> list[float]:
        before = self._wait_of_others(field, lambda: False)
        field.note_fault()
        flood = ThreadPoolExecutor(1)
        sent = flood.submit(field.client.submit_bulk, field.tenants[0], "sleep", {"seconds": 0.05}, self.JOBS)
        field.wait(0.0, 2.0)
        during = self._wait_of_others(field, lambda: not sent.done())
        with tenant_context(field.stack.tenants[0]):
            for part in batched(sent.result(), CANCELLED_AT_ONCE, strict=False):
                cancel_jobs(job_ids=part, reason="the flood has been seen")
        return [max(0.0, during - before)]

    def _wait_of_others(self, field: Field, goes_on: Callable[[], bool]) -> float:
        """Return the p95 of the other tenants' waits in seconds, measured during the flood and over enough jobs."""
        since = time.time()
        ids: list[UUID] = []
        while len(ids) < self.OTHERS_JOBS or goes_on():
            payload = {"steps": 1, "seconds": 0.05}
            ids.append(field.job_of(field.submit(1 + len(ids) % 2, "chaos_steps", payload)))
            field.wait(0.3, 0.7)
        field.ended(ids, within=120)
        return percentile([float(wait) for (wait,) in field.view.rows(WAITS, [field.tenants[1:], since])], 0.95)


class CapsChanged(Row):
    id, fault = "F3", "a tenant's cap raised, lowered and zeroed while its jobs run"
    bound_seconds, measured = 1.0, "from the commit of the change until starts obey it"
    shape = Shape(workers=1, slots=6, caps=(2, 2, 2))
    traffic = None
    is_alone = True

    def inject(self, field: Field) -> list[float]:
        tenant = field.stack.tenants[0]
        for _ in range(60):
            field.submit(0, "chaos_steps", {"steps": 2, "seconds": 0.3})
        self._await_running(field, 2)
        recoveries = []
        for before, cap in pairwise((2, 5, 1, 4, 0, 3)):
            field.wait(0.5, 2.0)
            changed_at = field.stack.set_cap(tenant, cap)
            if cap > before:
                recoveries.append(self._await_running(field, cap) - changed_at)
            elif cap == 0:
                field.wait(1.0, 2.0)
                last = field.view.number(_LATE_STARTS, [tenant.pk, changed_at])
                recoveries.append(max(0.0, (last or changed_at) - changed_at))
            else:
                # Running jobs continue; the check applies the new cap to every start after a second.
                field.wait(1.5, 2.5)
        field.stack.set_cap(tenant, 2)
        return recoveries

    def _await_running(self, field: Field, count: int) -> float:
        """Return the time at which as many run as the cap allows."""
        tenant = field.stack.tenants[0]
        field.stack.until(
            lambda: int(field.view.number(_IN_FLIGHT, [tenant.pk])) >= count,
            within=field.patience_seconds * bound_factor(),
            what=f"{count} run",
        )
        return time.time()


ROWS = (Flood, CapsChanged)
