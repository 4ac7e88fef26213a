"""Processes of the protocol in memory: private memory of workers and dispatchers."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.protocol_store import Hint, Id, JobRow, Tick


@dataclass(slots=True)
class Hand:
    """Execution in a worker's memory, which may be outdated."""

    live_id: Id
    fence: int
    job: JobRow
    step: int


@dataclass(slots=True)
class Worker:
    """Process with slots. A frozen one does nothing, a dead one has no executions."""

    name: str
    pool: str
    skew: float
    beat_at: float
    is_frozen: bool = False
    is_dead: bool = False
    popped: list[Hint] = field(default_factory=list)
    hands: list[Hand] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not (self.is_dead or self.is_frozen)


@dataclass(frozen=True, slots=True)
class Claim:
    """Committed claim of a tick in its dispatcher's memory."""

    hint: Hint
    fence: int
    job: JobRow


@dataclass(slots=True)
class Dispatcher:
    """Process that ticks. Claims that are not published yet exist only in its memory."""

    tick: Tick | None = None
    unpublished: list[Claim] = field(default_factory=list)
