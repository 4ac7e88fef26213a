"""Knowledge of the checks: the client's log, the event table and the effects table, as plain values."""

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
# State of a job that waits for a person.
SUSPENDED = "suspended"
UNAVAILABLE = 503
READY_PAGE, LIVE_PAGE = "/health/ready", "/health/live"
# Prefix of the keys of the witness's jobs.
WITNESS_KEY = "witness"


@dataclass(frozen=True, slots=True)
class Reply:
    """Response to one request; without a status the connection ended before a response."""

    at: float
    status: int | None
    job_id: UUID | None = None
    code: str = ""
    has_retry_after: bool = False


@dataclass(slots=True)
class Request:
    """Job request of a client under one key, with all its repetitions."""

    tenant_id: UUID
    kind: str
    payload: Mapping[str, Any]
    key: str
    run_at: datetime | None = None
    replies: list[Reply] = field(default_factory=list)

    @property
    def job_ids(self) -> set[UUID]:
        """Return the job ids in the responses; more than one is a fault."""
        return {reply.job_id for reply in self.replies if reply.status in ACCEPTED and reply.job_id is not None}

    @property
    def is_answered(self) -> bool:
        """Return whether its result is known: accepted, or refused for good."""
        return any(
            reply.status in ACCEPTED or (reply.status is not None and 400 <= reply.status < 500 and not _passes(reply))
            for reply in self.replies
        )


def _passes(reply: Reply) -> bool:
    """Return whether a refusal is only temporary."""
    return reply.status in {409, 429}


@dataclass(frozen=True, slots=True)
class Event:
    """Row of the event table."""

    id: UUID
    at: datetime
    tenant_id: UUID
    job_id: UUID
    execution_id: UUID | None
    name: str
    state: str
    actor: str = "system"
    data: Mapping[str, Any] = field(default_factory=dict)
    # Order of a job's events, independent of clocks.
    number: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """Row of the effects table: the step of the execution under ``fence``, and the number of rows ``seen``."""

    at: datetime
    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    fence: int
    step: str
    label: str = ""
    seen: int | None = None
    # Work time of its job so far, by the monotonic clock.
    seconds: float | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """Settled execution with its charge."""

    id: UUID
    job_id: UUID
    outcome: str
    charged_seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """Response to a probe of a page: its status (None: the connection ended) and, for health, its content."""

    at: float
    page: str
    status: int | None
    state: str = ""
    failed: frozenset[str] = frozenset()
    has_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """Process of the stack at the end of a run; ``was_ended``: the row stopped or killed it."""

    role: str
    pid: int
    # Exit status; None while it runs.
    status: int | None
    was_ended: bool
    has_heartbeat: bool = True
    heartbeat_age: float | None = None
    # Seconds since its start.
    age: float = math.inf


@dataclass(frozen=True)
class History:
    """History of one run, for the checks."""

    requests: Sequence[Request]
    events: Sequence[Event]
    effects: Sequence[Effect]
    executions: Sequence[Execution] = ()
    probes: Sequence[Probe] = ()
    processes: Sequence[Process] = ()

    @cached_property
    def events_by_job(self) -> dict[UUID, list[Event]]:
        """Return each job's events in their order."""
        by_job: dict[UUID, list[Event]] = defaultdict(list)
        for event in sorted(self.events, key=lambda event: (event.number, event.at, event.id)):
            by_job[event.job_id].append(event)
        return dict(by_job)

    @cached_property
    def effects_by_job(self) -> dict[UUID, list[Effect]]:
        """Return each job's effects in the order of their times."""
        by_job: dict[UUID, list[Effect]] = defaultdict(list)
        for effect in sorted(self.effects, key=lambda effect: effect.at):
            by_job[effect.job_id].append(effect)
        return dict(by_job)

    @cached_property
    def requests_by_job(self) -> dict[UUID, Request]:
        """Return the client's requests by the id of their jobs."""
        return {job_id: request for request in self.requests for job_id in request.job_ids}

    def starts_of(self, job_id: UUID) -> list[Event]:
        """Return the starts of a job; the Nth is under fence N."""
        return [event for event in self.events_by_job.get(job_id, []) if event.name == STARTED]

    def final_state_of(self, job_id: UUID) -> str | None:
        """Return the final state in a job's events, or None without events."""
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
