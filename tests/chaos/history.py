"""All that a checker may know: the client's log, the event table and the effects table, as plain values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

ACCEPTED = frozenset({200, 201})
TERMINAL = frozenset({"completed", "cancelled", "discarded", "quarantined"})
# A job in it waits for a person.
SUSPENDED = "suspended"
UNAVAILABLE = 503
READY_PAGE, LIVE_PAGE = "/health/ready", "/health/live"
# What the keys of the witness's jobs begin with.
WITNESS_KEY = "witness"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer to one request; no status: the connection ended without one."""

    at: float
    status: int | None
    job_id: UUID | None = None
    code: str = ""
    has_retry_after: bool = False


@dataclass(slots=True)
class Request:
    """One job as a client asked for it, under one key, as often as it took."""

    tenant_id: UUID
    kind: str
    payload: Mapping[str, Any]
    key: str
    run_at: datetime | None = None
    replies: list[Reply] = field(default_factory=list)

    @property
    def job_ids(self) -> set[UUID]:
        """What the client was told; one, if all is well."""
        return {reply.job_id for reply in self.replies if reply.status in ACCEPTED and reply.job_id is not None}

    @property
    def is_answered(self) -> bool:
        """Whether the client knows what became of it: accepted, or refused for good."""
        return any(
            reply.status in ACCEPTED or (reply.status is not None and 400 <= reply.status < 500 and not _passes(reply))
            for reply in self.replies
        )


def _passes(reply: Reply) -> bool:
    """Whether a refusal says only that it was too early."""
    return reply.status in {409, 429}


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the event table."""

    id: UUID
    at: datetime
    tenant_id: UUID
    job_id: UUID
    execution_id: UUID | None
    name: str
    state: str
    actor: str = "system"
    data: Mapping[str, Any] = field(default_factory=dict)
    # By these, and not by a clock, the events of a job are ordered.
    number: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """A row of the effects table: what the execution under ``fence`` did, and ``seen`` what it saw."""

    at: datetime
    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    fence: int
    step: str
    label: str = ""
    seen: int | None = None
    # How long its job had worked by then, by the monotonic clock.
    seconds: float | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """A settled execution, and what it was charged."""

    id: UUID
    job_id: UUID
    outcome: str
    charged_seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One response to a probe of a page: its status (None: the connection ended), and of health what it said."""

    at: float
    page: str
    status: int | None
    state: str = ""
    failed: frozenset[str] = frozenset()
    has_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the stack at the end of a run; ``was_ended``: the row stopped or killed it."""

    role: str
    pid: int
    # Its exit status; None while it lives.
    status: int | None
    was_ended: bool
    has_heartbeat: bool = True
    heartbeat_age: float | None = None
    # Seconds since it was started.
    age: float = math.inf


@dataclass(frozen=True)
class History:
    """What one run leaves to be judged."""

    requests: Sequence[Request]
    events: Sequence[Event]
    effects: Sequence[Effect]
    executions: Sequence[Execution] = ()
    probes: Sequence[Probe] = ()
    processes: Sequence[Process] = ()

    @cached_property
    def events_by_job(self) -> dict[UUID, list[Event]]:
        """Each job's events in their order."""
        by_job: dict[UUID, list[Event]] = defaultdict(list)
        for event in sorted(self.events, key=lambda event: (event.number, event.at, event.id)):
            by_job[event.job_id].append(event)
        return dict(by_job)

    @cached_property
    def effects_by_job(self) -> dict[UUID, list[Effect]]:
        """Each job's effects in the order of their times."""
        by_job: dict[UUID, list[Effect]] = defaultdict(list)
        for effect in sorted(self.effects, key=lambda effect: effect.at):
            by_job[effect.job_id].append(effect)
        return dict(by_job)

    @cached_property
    def requests_by_job(self) -> dict[UUID, Request]:
        """What the client asked for, by the id that it was given."""
        return {job_id: request for request in self.requests for job_id in request.job_ids}

    def starts_of(self, job_id: UUID) -> list[Event]:
        """The starts of a job; the Nth is the one under fence N."""
        return [event for event in self.events_by_job.get(job_id, []) if event.name == STARTED]

    def final_state_of(self, job_id: UUID) -> str | None:
        """Where the job's events have led it; None for a job of which there are none."""
        states = {event.state for event in self.events_by_job.get(job_id, [])}
        if ended := states & TERMINAL:
            return min(ended)
        events = self.events_by_job.get(job_id)
        return events[-1].state if events else None


STARTED, DISPATCHED, SUBMITTED, COMPLETED = (
    "execution.started",
    "job.dispatched",
    "job.submitted",
    "execution.completed",
)
