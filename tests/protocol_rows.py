"""Rows of the protocol in memory, and what statements return of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState

# Numbers if the store is alone, the database's own ids in a comparison.
type Id = int | UUID


@dataclass(slots=True)
class JobRow:
    """Job; ``history`` has all its states, ``effects`` counts commits with its checkpoints."""

    id: Id
    tenant: str
    pool: str
    max_retries: int = 3
    due_at: float | None = None
    state: JobState = JobState.AVAILABLE
    attempt: int = 0
    crash_count: int = 0
    fence: int = 0
    completions: int = 0
    step: int = 0
    effects: int = 0
    is_unwanted: bool = False
    # It has snoozed itself; the event that it waits for has occurred.
    is_own: bool = False
    is_answered: bool = False
    travels_alone: bool = False
    history: list[JobState] = field(default_factory=list)

    def enter(self, state: JobState) -> None:
        self.state = state
        self.history.append(state)


@dataclass(slots=True)
class LiveRow:
    """Execution in flight. Those of a message have one place: a slot of the pool, and one of each of their tenants."""

    id: Id
    job: JobRow
    place: Id
    token: Id
    fence: int
    published_at: float
    # Its members begin one by one; those of another message all at once.
    is_list: bool = True
    weight: int = 1
    worker: Id | str | None = None
    hold: Id | str | None = None
    lease_expires_at: float | None = None
    has_begun: bool = False
    is_cancel_requested: bool = False
    is_wake_requested: bool = False
    claim_fence: int = -1

    def __post_init__(self) -> None:
        self.claim_fence = self.fence

    @property
    def pair(self) -> tuple[Id, str]:
        """Return the place and the tenant, which count once together."""
        return self.place, self.job.tenant


@dataclass(frozen=True, slots=True)
class Hint:
    """Message: hold these executions, in this order, if ``token`` is still current."""

    executions: tuple[Id, ...]
    token: Id
    pool: str


class HeldRow(NamedTuple):
    """Execution of a hold as a statement returned it."""

    id: Id
    fence: int
    has_begun: bool


class Turnover(NamedTuple):
    """Result of the joint statement: whether it settled, and the execution that it began."""

    is_settled: bool
    begun: HeldRow | None


class Ending(NamedTuple):
    """Applied settlement, with the execution as it was."""

    live: LiveRow
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Picks:
    """Jobs that a tick picked for one slot."""

    jobs: list[JobRow]
    is_list: bool = True


@dataclass(slots=True)
class Tick:
    """Open transaction of a tick: its picks, and the slots of the pool and the room of each tenant as read."""

    pool: str
    opened_at: float
    picks: list[Picks]
    slots: int
    room: Counter[str]


def hints_of(lives: list[LiveRow]) -> list[Hint]:
    """Return a message for each place, with its executions in order."""
    messages: dict[Id, list[LiveRow]] = {}
    for live in lives:
        messages.setdefault(live.place, []).append(live)
    return [Hint(tuple(live.id for live in of), of[0].token, of[0].job.pool) for of in messages.values()]
