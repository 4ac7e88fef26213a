"""Kit types for the worker's side of a running job; `base` exports them to processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from scheduling.kit.children import Child, ChildJob
from scheduling.kit.dependencies import Dependency
from scheduling.kit.outcomes import Json

type Effects = Callable[[], object]
type LogLevel = Literal["debug", "info", "warning", "error"]


class JobRuntime(Protocol):
    """The interface that the worker implements behind a `JobContext`: one method for each of the context's.

    Processors call the context's methods instead. Tests of a job kind pass a `RecordingRuntime`.
    """

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        """Store ``state``, a JSON object, and run ``effects`` in the same transaction; then pass a safe point.

        Raise Interrupted if a stop was requested or another worker runs the job, and PermanentError for a state that
        is not JSON or too large.
        """

    def in_settlement(self, effects: Effects) -> None:
        """Keep ``effects`` and run them in the transaction that records this execution as completed."""

    def report_progress(self, current: int, total: int, message: str) -> None:
        """Keep the progress, ``current`` of ``total`` in any unit, and write it at most once a second.

        Raise ValueError for numbers beyond 64 bits, and Interrupted if the job now belongs to another worker.
        """

    def should_yield(self) -> bool:
        """Return whether the time slice is used and another job waits for the slot.

        Raise Interrupted if a stop was requested.
        """

    def log(self, message: str, level: LogLevel, fields: Json) -> None:
        """Add a line to the job's log; raise nothing."""

    def enter_dependency(self, dependency: Dependency) -> None:
        """Record that the job uses ``dependency`` from now on; raise Interrupted while its breaker is open."""

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        """Record how the use of ``dependency`` ended; ``error`` is the exception that left it, or None."""

    def submit_child(self, child: Child) -> None:
        """Keep ``child`` for the transaction in which this execution ends well.

        Raise PermanentError beyond MAX_CHILDREN an execution.
        """

    def children(self) -> Sequence[ChildJob]:
        """Return the children that the job last waited for, in order of submission, with their results."""
