"""The history of jobs: one row a change, written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from scheduling.models import Job, JobEvent
from tenants.context import Actor, current_actor
from tenants.inserts import insert_rows, new_row

SYSTEM_ACTOR = "system"


def actor_label(actor: Actor) -> str:
    """Who, as history keeps it: ``kind:label``, or ``system``."""
    return SYSTEM_ACTOR if actor.kind == "system" else f"{actor.kind}:{actor.label or actor.id}"[:200]


def append_events(jobs: Sequence[Job], *, name: str, at: datetime, data: Mapping[str, Any] | None = None) -> None:
    """One event for each job, in the state that it has now."""
    actor = current_actor()
    label, told = actor_label(actor), dict(data or {})
    insert_rows(
        [
            new_row(
                JobEvent,
                tenant_id=job.tenant_id,
                job_id=job.id,
                at=at,
                name=name,
                state=job.state,
                actor=label,
                request_id=actor.request_id,
                data=told,
            )
            for job in jobs
        ]
    )
