"""Processes of the protocol in memory: private memory of workers, their children, and dispatchers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from scheduling.execution.settlement import Settlement
from tests.protocol_rows import HeldRow, Hint, Id, JobRow, LiveRow, Tick


class Phase(Enum):
    """What a child does next."""

    IDLE = auto()
    HOLDING = auto()
    """It has a message, and no answer to its hold."""
    BEGUN = auto()
    """Its current execution has begun in the database, and has not run."""
    RUNNING = auto()
    ENDED = auto()
    """The work of its current execution is done, and not settled."""
    UNSURE = auto()
    """As before, but a settlement may have been committed: it is settled again, alone."""
    BETWEEN = auto()
    """It has no current execution, and may begin another."""
    OVER = auto()
    """It returns what it has left."""


WORKING = frozenset({Phase.RUNNING, Phase.ENDED, Phase.UNSURE})


@dataclass(slots=True)
class Hand:
    """Execution in a child's memory, which may be outdated."""

    id: Id
    fence: int
    job: JobRow
    step: int
    position: int = 0


@dataclass(slots=True, eq=False)
class Child:
    """Process that runs the executions of one message. Its parent reads the memory of a dead one."""

    worker: Worker
    phase: Phase = Phase.IDLE
    hint: Hint | None = None
    nonce: Id | str | None = None
    is_list: bool = True
    current: Hand | None = None
    verdict: Settlement | None = None
    waiting: list[Hand] = field(default_factory=list)
    # Passed over, because they were locked or gone.
    doubtful: list[Hand] = field(default_factory=list)
    # Ends of a message that is not a list, settled together.
    done: list[Settlement] = field(default_factory=list)
    # The answer to a beginning of this hold was lost.
    is_unsure: bool = False
    # Leases of its executions were renewed.
    renewed_at: float = 0.0
    is_dead: bool = False
    was_killed: bool = False
    # What its parent, or itself when it ends a hold of which it is unsure, has read.
    found: list[HeldRow] | None = None

    def ids(self) -> list[Id]:
        return [] if self.hint is None else list(self.hint.executions)


@dataclass(slots=True, eq=False)
class Worker:
    """Parent process with a child for each slot. A frozen one does nothing, of a dead one all processes are dead.

    An orphaned one has no parent any more: its children go on, and nothing renews their leases.
    """

    name: str
    pool: str
    skew: float
    children: list[Child] = field(default_factory=list)
    is_frozen: bool = False
    is_dead: bool = False
    is_orphaned: bool = False
    is_stopping: bool = False

    def replace(self, child: Child) -> None:
        """Put a child without a message in the place of this one."""
        self.children[self.children.index(child)] = Child(self)

    @property
    def is_well(self) -> bool:
        return not (self.is_dead or self.is_frozen)

    @property
    def beats(self) -> bool:
        return self.is_well and not self.is_orphaned

    @property
    def is_online(self) -> bool:
        """Return whether the worker takes messages."""
        return self.beats and not self.is_stopping


@dataclass(frozen=True, slots=True)
class Claim:
    """Committed claim of a tick in its dispatcher's memory."""

    hint: Hint
    members: list[tuple[Id, int, JobRow]]

    @classmethod
    def of(cls, hint: Hint, lives: list[LiveRow]) -> Claim:
        return cls(hint, [(live.id, live.fence, live.job) for live in lives if live.id in hint.executions])


@dataclass(slots=True)
class Dispatcher:
    """Process that ticks. Claims that are not published yet exist only in its memory."""

    tick: Tick | None = None
    unpublished: list[Claim] = field(default_factory=list)
    # Published with an error: the broker may have the message all the same.
    uncertain: list[Claim] = field(default_factory=list)
    take_backs: list[HeldRow] = field(default_factory=list)
