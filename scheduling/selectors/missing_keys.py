"""Jobs that wait for a data key of their tenant that is not at hand: since when, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from scheduling.models import JobEvent
from tenants.clock import read_clock
from tenants.context import tenant_context
from tenants.prepared import prepared_cursor

# The cause of a wait, in the job's events, and the code of the reason.
DATA_KEY_MISSING: Final = "data_key_missing"
# Jobs with a time that are looked at, the soonest first: one that waits for a key is looked at within ten minutes.
MOST_JOBS = 5_000
# Events of one job that are looked at, the newest first.
_MOST_EVENTS = 1_000

# How an execution ends that has opened its job.
_OPENED = frozenset(
    f"execution.{what}" for what in ("put_off", "yielded", "suspended", "awaits_children", "failed", "timed_out")
)

_WAITING = """
SELECT t.slug, last.key, count(*), min(last.at)
FROM (SELECT job_id, tenant_id FROM scheduling_job_due ORDER BY due_at LIMIT %s) d
    CROSS JOIN LATERAL (
        SELECT e.name, e.data ->> 'cause' AS cause, e.data ->> 'key' AS key, e.at FROM scheduling_jobevent e
        WHERE e.tenant_id = d.tenant_id AND e.job_id = d.job_id ORDER BY e.id DESC LIMIT 1) last
    JOIN tenants_tenant t ON t.id = d.tenant_id
WHERE last.name = 'execution.put_off' AND last.cause = %s
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


@dataclass(frozen=True, slots=True)
class KeyWait:
    """How often a job has met that its key is missing, since it could last be opened, and for how long."""

    times: int = 0
    since: datetime | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MissingKey:
    """A key for which jobs of a tenant wait."""

    tenant: str
    key_id: str
    jobs: int


def read_key_wait(*, tenant_id: UUID, job_id: UUID) -> KeyWait:
    """Return the wait of one job. It ends at an event that only a job that was opened can have."""
    with tenant_context(tenant_id):
        events = JobEvent.objects.filter(job_id=job_id).order_by("-id").values_list("name", "data", "at")
        found: list[datetime] = []
        for name, data, at in events[:_MOST_EVENTS]:
            if name == "execution.put_off" and data.get("cause") == DATA_KEY_MISSING:
                found.append(at)
            elif name in _OPENED:
                break
        now = read_clock()
    if not found:
        return KeyWait()
    return KeyWait(len(found), found[-1], (now - found[-1]).total_seconds())


def find_missing_keys() -> Sequence[MissingKey]:
    """Return the keys for which jobs of the scope wait, of the MOST_JOBS that are due the soonest."""
    with prepared_cursor() as cursor:
        cursor.execute(_WAITING, [MOST_JOBS, DATA_KEY_MISSING])
        return [MissingKey(slug, key, jobs) for slug, key, jobs, _ in cursor.fetchall()]
