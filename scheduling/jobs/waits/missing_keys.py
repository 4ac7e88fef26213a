"""Jobs that wait for a data key of their tenant, which is missing: since when, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from scheduling.models import JobEvent
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# The cause of a wait in the job's events, and the code of the reason.
DATA_KEY_MISSING: Final = "data_key_missing"
# The jobs read, the soonest due first: one that waits for a key is due within ten minutes.
MOST_JOBS = 5_000
# The events of one job read, the newest first.
_MOST_EVENTS = 1_000

# The ends of executions that have decrypted their job.
_OPENED = frozenset(
    f"execution.{what}" for what in ("put_off", "yielded", "suspended", "awaits_children", "failed", "timed_out")
)

_WAITING = load_sql(__file__)["find_missing_keys"]


@dataclass(frozen=True, slots=True)
class KeyWait:
    """How often a job has found its data key missing since it was last decrypted, and for how long."""

    times: int = 0
    since: datetime | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MissingKey:
    """A missing data key of a tenant, and the number of jobs that wait for it."""

    tenant: str
    key_id: str
    jobs: int


def read_key_wait(*, tenant_id: UUID, job_id: UUID) -> KeyWait:
    """Return how long one job has waited for its data key, since the last event at which it was decrypted."""
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
    """Return the missing data keys for which jobs wait, found among the MOST_JOBS that are due the soonest."""
    return fetch_all(_WAITING, {"jobs": MOST_JOBS, "cause": DATA_KEY_MISSING}, class_row(MissingKey))
