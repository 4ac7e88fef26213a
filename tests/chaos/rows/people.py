"""Actions of people and clients on jobs and tenants under load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from scheduling.bulk.starting import start_bulk_operation
from tenants.context import Actor, acting_as, tenant_context
from tenants.tenancy.service import reinstate_tenant, suspend_tenant, update_tenant
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.spans import SpanRow
from tests.chaos.stack import PLAN, Shape

_STATES = "SELECT state, count(*) FROM scheduling_job WHERE id = ANY (%s) GROUP BY 1"
_REQUEUED = "SELECT count(DISTINCT requeued_job_id) FROM scheduling_deadletter WHERE job_id = ANY (%s)"
_OPEN = """
SELECT count(*) FROM scheduling_deadletter d JOIN scheduling_job j ON j.id = d.requeued_job_id
WHERE d.job_id = ANY (%s) AND j.state <> 'completed'
"""
_NEW = "SELECT count(DISTINCT job_id) FROM chaos_effect WHERE label = %s AND step = 'settled'"
OPERATOR = Actor(kind="user", id="1", label="operator")
_DISPATCHED = """
SELECT count(*) FROM scheduling_jobevent
WHERE name = 'job.dispatched' AND tenant_id = %s AND at > to_timestamp(%s) AND at < to_timestamp(%s)
"""


class Cancellations(Row):
    id, fault = "J1", "150 jobs with effects, each cancelled at a random moment by six clients"
    bound_seconds, measured = 60.0, "until all have ended; none has the effect of a missing settlement"
    shape = Shape(workers=2, slots=3, caps=(2, 2, 4))
    may_cancel = True
    JOBS = 150

    def inject(self, field: Field) -> list[float]:
        tenant_id = field.tenants[2]
        ids = field.client.submit_bulk(tenant_id, "chaos_steps", {"steps": 2, "seconds": 0.1}, self.JOBS)
        moments = [(job_id, field.rng.uniform(0.0, 12.0)) for job_id in ids]
        began = time.monotonic()

        def cancel(job_id: UUID, moment: float) -> int | None:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            return field.client.cancel(tenant_id, job_id)

        with ThreadPoolExecutor(6) as pool:
            statuses = Counter(pool.map(lambda one: cancel(*one), sorted(moments, key=lambda one: one[1])))
        field.stack.until(
            lambda: {state for state, _ in field.view.rows(_STATES, [ids])} <= {"completed", "cancelled"},
            within=field.patience_seconds,
            what="all have ended",
        )
        ended = dict(field.view.rows(_STATES, [ids]))
        if statuses.keys() - {200, 202, 409} or len(ended) != 2:
            field.violations.append(f"cancelling was answered with {dict(statuses)}; the jobs are {ended}")
        return [time.monotonic() - began]


class DeadLettersRequeued(Row):
    id, fault = "J2", "1,000 dead letters requeued by one bulk operation; both dispatchers killed four times meanwhile"
    bound_seconds, measured = 60.0, "from the operation's start until each dead letter has exactly one new job"
    shape = Shape(workers=1, slots=4, dispatchers=2, caps=(1, 2, 8))
    traffic = Traffic(per_second=1.0)
    minutes = 2.0
    JOBS = 1_000

    def inject(self, field: Field) -> list[float]:
        mark = field.stack.folder / "fails"
        mark.touch()
        # Dead letters of other seeds are not requeued.
        began_at = datetime.now(UTC).replace(microsecond=0)
        payload = {"steps": 0, "fails_while": str(mark), "label": (label := f"dead {field.rng.random()}")}
        ids = field.client.submit_bulk(field.tenants[2], "chaos_steps", payload, self.JOBS)
        field.ended(ids, within=120, state="discarded")
        mark.unlink()
        with tenant_context(field.stack.tenants[2]), acting_as(OPERATOR):
            start_bulk_operation(
                filter_text=f"kind:chaos_steps state:discarded created:>{began_at:%Y-%m-%dT%H:%M:%SZ}",
                operation="requeue",
                parameters={},
                reason="chaos",
                number=self.JOBS,
            )
        began = time.monotonic()
        for _ in range(4):
            field.wait(0.2, 1.0)
            for dispatcher in list(field.stack.dispatchers):
                dispatcher.kill()
        field.stack.until(
            lambda: int(field.view.number(_REQUEUED, [ids])) >= self.JOBS,
            within=field.patience_seconds,
            what="all are requeued",
        )
        seconds = time.monotonic() - began
        field.stack.until(lambda: int(field.view.number(_OPEN, [ids])) == 0, within=120, what="the new jobs have ended")
        if (found := int(field.view.number(_NEW, [label]))) != self.JOBS:
            field.violations.append(f"{self.JOBS} dead letters have become {found} jobs")
        return [seconds]


class FailureFlood(SpanRow):
    id, fault = "J3", "400 jobs of one tenant that fail in each attempt, while others submit as usual"
    bound_seconds, measured = 15.0, "until a job of another tenant that is submitted meanwhile begins"
    shape = Shape(workers=1, slots=4, caps=(4, 2, 3))

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        field.client.submit_bulk(field.tenants[0], "fail", {}, 400)
        yield

    def inject(self, field: Field) -> list[float]:
        field.note_fault()
        with self.hold(field):
            field.wait(0.0, 2.0)
            return [field.fresh_start(time.time()) for _ in range(3)]


class TenantStopped(Row):
    id, fault = (
        "T11",
        "a tenant is suspended with running and waiting jobs, reinstated, and changes its plan each second",
    )
    bound_seconds, measured = 10.0, "from its reinstatement to the next start of one of its jobs; none while suspended"
    shape = Shape(workers=1, slots=4)
    traffic = Traffic(per_second=2.0)
    JOBS = 24

    def inject(self, field: Field) -> list[float]:
        tenant = field.stack.tenants[2]
        ids = field.client.submit_bulk(field.tenants[2], "chaos_steps", {"steps": 4, "seconds": 0.2}, self.JOBS)
        field.wait(0.0, 1.0)
        suspend_tenant(tenant=tenant, reason="chaos")
        suspended_at = time.time()
        field.wait(5.0, 7.0)
        began = int(field.view.number(_DISPATCHED, [tenant.pk, suspended_at + 1.0, time.time()]))
        if began:
            field.violations.append(f"{began} jobs of a suspended tenant were dispatched")
        waiting = [job_id for job_id, state in field.view.states_of(ids).items() if state == "available"]
        if not waiting:
            field.violations.append("no job waited while its tenant was suspended: the row is inconclusive")
        reinstated_at = time.time()
        reinstate_tenant(tenant=tenant)
        recovery = field.next_start_of(waiting, reinstated_at)
        for plan in ["sandbox", PLAN] * 4:
            update_tenant(tenant=tenant, changes={"plan": plan})
            field.wait(0.5, 1.5)
        field.ended(ids, within=field.patience_seconds)
        return [recovery]


ROWS = (Cancellations, DeadLettersRequeued, FailureFlood, TenantStopped)
