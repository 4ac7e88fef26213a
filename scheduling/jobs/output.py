"""Reads of the output that jobs stream while they run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from scheduling.jobs.filters.rows import CLOCK_SLACK
from scheduling.jobs.history import OUTPUT_EVENT, readable_output
from scheduling.models import Job, JobEvent
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.database.ids import uuid7_floor

SHOWN_EVENTS: Final = 200
SHOWN_CHARACTERS: Final = 20_000


@dataclass(slots=True)
class OutputText:
    """The end of one output of a job; ``is_cut`` if the job wrote more than is kept."""

    name: str
    parts: list[str] = field(default_factory=list)
    is_cut: bool = False
    unreadable: str = ""

    @property
    def text(self) -> str:
        """Return the text that came last."""
        return "".join(self.parts)[-SHOWN_CHARACTERS:]


def may_read_output(access: Access) -> bool:
    """Return whether the caller may read the outputs of jobs: as their results, but for the tenant's people only."""
    return access.platform_role is None and access.may(Permission.JOBS_RESULTS)


def read_output(job: Job) -> list[OutputText]:
    """Return the ends of a job's outputs: what the newest events have since each output began again."""
    events = JobEvent.objects.filter(
        tenant_id=job.tenant_id, job_id=job.id, id__gte=uuid7_floor(job.created_at - CLOCK_SLACK), name=OUTPUT_EVENT
    )
    found: dict[str, OutputText] = {}
    for event in reversed(events.order_by("-id")[:SHOWN_EVENTS]):
        data = readable_output(event)
        name = data.get("stream", "")
        output = found.setdefault(name, OutputText(name))
        if data.get("restarted"):
            output.parts.clear()
        output.parts.append(data.get("text", ""))
        output.is_cut |= data.get("is_cut", False)
        output.unreadable = data.get("unreadable", "")
    return list(found.values())
