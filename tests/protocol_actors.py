"""Processes of the protocol in memory: what each remembers, and nobody else knows."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.protocol_store import Hint, Id, JobRow, Tick


@dataclass(slots=True)
class Hand:
    """An execution as its worker remembers it, whatever has become of it meanwhile."""

    live_id: Id
    fence: int
    job: JobRow
    step: int


@dataclass(slots=True)
class Worker:
    """A process with slots. Frozen, it does nothing and does not know; dead, it has no hands."""

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
    """What a tick has committed, as its dispatcher remembers it."""

    hint: Hint
    fence: int
    job: JobRow


@dataclass(slots=True)
class Dispatcher:
    """A process that ticks. What it has claimed and not published yet is in its memory alone."""

    tick: Tick | None = None
    unpublished: list[Claim] = field(default_factory=list)
