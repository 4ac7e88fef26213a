"""What tenants use of the scheduler's limits now, and the proof that the counted worker time is the measured one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling import rate_buckets
from scheduling.fairness.gcra import Rate
from scheduling.limits import (
    MAX_CONCURRENCY,
    MAX_WAITING_JOBS,
    SCHEDULE_COUNT,
    SUBMIT_BURST,
    SUBMITS_PER_MINUTE,
    WORKER_SECONDS,
)
from scheduling.models import WorkerPool
from scheduling.services.dispatching.tick import STOP_TICKS
from tenants.clock import read_clock
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.limits import month_of
from tenants.selectors.limits import EffectiveLimit
from tenants.selectors.tenant_pages import IN_PAGE, TenantPage, read_pages
from tenants.selectors.usage import Measured
from tenants.services.audit import AuditTarget, record_audit

# Nothing younger than this is ever removed.
YOUNG = timedelta(days=1)
MAX_CHARGES = 50
_NOW = """
SELECT (SELECT coalesce(sum(waiting + keys_waiting), 0) FROM scheduling_schedulingentity
        WHERE tenant_id = %(tenant_id)s AND parent_id IS NULL)
    + (SELECT coalesce(sum(waiting_delta), 0) FROM scheduling_wake WHERE tenant_id = %(tenant_id)s),
    (SELECT coalesce(sum(in_flight), 0) FROM scheduling_tenant_capacity WHERE tenant_id = %(tenant_id)s),
    (SELECT count(*) FROM scheduling_schedule WHERE tenant_id = %(tenant_id)s)
"""
# One statement is one snapshot: what a tick has not folded yet is in the one sum and not in the other.
_RECOUNTED = f"""
recounted AS (
    SELECT tenant_id, date_trunc('month', ended_at AT TIME ZONE 'UTC')::date AS period, sum(us)::bigint AS us
    FROM (
        SELECT tenant_id, ended_at, measured_us AS us FROM scheduling_execution
        WHERE {IN_PAGE} AND ended_at >= %(since)s
        UNION ALL SELECT tenant_id, ended_at, -measured_us FROM scheduling_settled
        WHERE {IN_PAGE} AND ended_at >= %(since)s
        UNION ALL SELECT tenant_id, (content ->> 'ended_at')::timestamptz, -measured_us FROM scheduling_settled_refused
        WHERE {IN_PAGE} AND (content ->> 'ended_at')::timestamptz >= %(since)s
    ) AS ended
    GROUP BY 1, 2
)
"""  # noqa: S608 - constants
_DIFFERENCES = f"""
WITH {_RECOUNTED}, counted AS (
    SELECT tenant_id, period, amount FROM tenants_tenantusage
    WHERE {IN_PAGE} AND key = %(key)s AND period >= %(period)s
)
SELECT tenant_id, period, coalesce(c.amount, 0), coalesce(r.us, 0)
FROM counted c FULL JOIN recounted r USING (tenant_id, period)
WHERE coalesce(c.amount, 0) <> coalesce(r.us, 0) ORDER BY 1, 2
"""  # noqa: S608 - constants
# Of the last day, of which nothing has been removed yet. A process with a clock that is behind dates its ids too early.
_CHARGES = f"""
WITH charged AS (
    SELECT execution_id, sum(microseconds)::bigint AS us FROM scheduling_charge
    WHERE {IN_PAGE} AND id >= %(charges_since)s AND execution_id >= %(executions_since)s GROUP BY 1
)
SELECT e.tenant_id, date_trunc('month', e.ended_at AT TIME ZONE 'UTC')::date, coalesce(c.us, 0), e.measured_us, e.id
FROM (
    SELECT tenant_id, id, ended_at, measured_us FROM scheduling_execution
    WHERE {IN_PAGE} AND id >= %(executions_since)s
) AS e LEFT JOIN charged c ON c.execution_id = e.id
WHERE coalesce(c.us, 0) <> e.measured_us AND e.tenant_id NOT IN (
    SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
ORDER BY 1, e.id LIMIT %(limit)s
"""  # noqa: S608 - constants
_REPAIR = f"""
WITH {_RECOUNTED}, missing AS (
    UPDATE tenants_tenantusage SET amount = 0 WHERE {IN_PAGE} AND key = %(key)s AND period >= %(period)s
        AND (tenant_id, period) NOT IN (SELECT tenant_id, period FROM recounted)
)
INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
SELECT tenant_id, %(key)s, period, us FROM recounted
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class UsageDifference:
    """A month of a tenant whose counter is not the sum of its executions, in microseconds.

    Or, with ``execution_id``, one of its executions whose charges are not what was measured of it.
    """

    tenant_id: UUID
    period: date
    counted_us: int
    measured_us: int
    execution_id: UUID | None = None

    @property
    def subject(self) -> str:
        """Return the month or the execution that differs."""
        return f"{self.period:%Y-%m}" if self.execution_id is None else f"execution {self.execution_id}"


# Beside the bucket's standing, which is this process's own then.
REDIS_AWAY = "The broker is away: each web process counts for itself until it is back."


def measure_usage(tenant_id: UUID, limits: dict[str, EffectiveLimit]) -> dict[str, Measured]:
    """What is no counter."""
    with connection.cursor() as cursor:
        cursor.execute(_NOW, {"tenant_id": tenant_id})
        waiting, in_flight, schedules = cursor.fetchone()
    measured = {
        MAX_WAITING_JOBS.key: Measured(int(waiting)),
        MAX_CONCURRENCY.key: Measured(int(in_flight)),
        SCHEDULE_COUNT.key: Measured(int(schedules)),
    }
    rate = Rate.per_minute(limits[SUBMITS_PER_MINUTE.key].allowed or 0, limits[SUBMIT_BURST.key].allowed or 0)
    if rate is not None:
        grant = rate_buckets.look(tenant_id, rate)
        used = rate.burst - grant.remaining(rate)
        note = REDIS_AWAY if rate_buckets.is_away() else ""
        measured[SUBMIT_BURST.key] = Measured(used, grant.backlog_us / 1_000_000, note)
    return measured


def verify_usage(*, since: date | None = None, repair: bool = False, reason: str = "") -> Sequence[UsageDifference]:
    """The months from ``since`` (this one) whose counted worker time is not what executions measured.

    With the executions of the last day whose charges are not what was measured of them, which nothing repairs.
    ``repair`` writes the measured time, while no dispatcher ticks, and records what each counter was. Months whose
    executions were pruned in part must not be asked for. Page by page of tenants, each in a transaction of its own.
    """
    found: list[UsageDifference] = []
    for page in read_pages():
        found += verify_usage_page(page, since=since, repair=repair, reason=reason)
    return found


def verify_usage_page(
    page: TenantPage, *, since: date | None = None, repair: bool = False, reason: str = ""
) -> Sequence[UsageDifference]:
    """The same for a page of tenants."""
    period = since or month_of(datetime.now(UTC))
    parameters: dict[str, Any] = {
        **page.parameters(),
        "key": WORKER_SECONDS.key,
        "period": period,
        "since": datetime.combine(period, time(), tzinfo=UTC),
    }
    with all_tenants(), connection.cursor() as cursor:
        if repair:
            pools = list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True))
            cursor.execute(STOP_TICKS, [pools])
        cursor.execute(_DIFFERENCES, parameters)
        differences = [UsageDifference(*row) for row in cursor.fetchall()]
        if repair and differences:
            cursor.execute(_REPAIR, parameters)
            _record_repair(differences, reason)
        executions_since = read_clock() - YOUNG
        parameters |= {
            "executions_since": uuid7_floor(executions_since),
            "charges_since": uuid7_floor(executions_since - YOUNG),
            "limit": MAX_CHARGES,
        }
        cursor.execute(_CHARGES, parameters)
        return [*differences, *(UsageDifference(*row) for row in cursor.fetchall())]


def _record_repair(differences: Sequence[UsageDifference], reason: str) -> None:
    """One entry for all counters; masking bounds a long list."""
    named = [(f"{row.tenant_id} {row.period:%Y-%m}", row) for row in differences]
    record_audit(
        action="usage.repaired",
        target=AuditTarget("tenants.tenantusage"),
        before={"counters": len(named), "counted_us": {name: row.counted_us for name, row in named}},
        after={"counters": len(named), "counted_us": {name: row.measured_us for name, row in named}},
        reason=reason,
    )
