"""The context of one execution: its facts, and the platform's services for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from uuid import UUID

from scheduling.kit.children import Child, ChildJob
from scheduling.kit.dependencies import Dependency
from scheduling.kit.outcomes import Json
from scheduling.kit.runtime import BYTES, Effects, JobRuntime, LogLevel


@dataclass(frozen=True, slots=True)
class JobContext:
    """One execution of one job, as its processor sees it.

    ``attempt`` counts from 1. ``state`` is the last checkpoint, empty at the first start. ``fencing_token`` rises with
    each start: pass it to external systems that can refuse an older one. ``idempotency_key`` is equal for all starts.
    ``deadline_at`` is an aware datetime or None. ``settings`` has the tenant's values, as of the start, of the
    settings that the kind declares.
    """

    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    kind: str
    payload: Json
    attempt: int
    state: Json
    fencing_token: int
    idempotency_key: str
    deadline_at: datetime | None
    runtime: JobRuntime = field(repr=False, compare=False)
    settings: Json = field(default_factory=dict, repr=False)

    def checkpoint(self, state: Json, effects: Effects | None = None) -> None:
        """Store ``state``, a JSON object, and run ``effects`` in one transaction, if this execution still owns the job.

        Effects run as the restricted database role and see only rows of the job's tenant; they run exactly once or not
        at all. Raise Interrupted if a stop was requested or another worker runs the job, and PermanentError for a state
        that is not JSON or too large.
        """
        self.runtime.checkpoint(state, effects)

    def in_settlement(self, effects: Effects) -> None:
        """Register ``effects`` to run in the transaction that settles this execution; they run only if it completes."""
        self.runtime.in_settlement(effects)

    def report_progress(self, current: int, total: int, message: str = "") -> None:
        """Report progress: ``current`` of ``total`` in any unit; cheap to call often, written at most once a second.

        Raise ValueError for numbers beyond 64 bits, and Interrupted if the job now belongs to another worker.
        """
        self.runtime.report_progress(current, total, message)

    def should_yield(self) -> bool:
        """Return True if the processor should now return ``Yielded``; cheap to call often: it only reads memory.

        That is so if the time slice is used up and a job that comes first in fair order waits for the slot. Raise
        Interrupted if the job was cancelled or its worker shuts down.
        """
        return self.runtime.should_yield()

    def log(self, message: str, *, level: LogLevel = "info", **fields: Any) -> None:
        """Add a line to the job's log, which its tenant can read while the job runs.

        It never raises and never waits for the database. Values that cannot be stored are stored as text. Message and
        fields are cut at 4 KiB each, the log of a job at 1 MiB. The line stays even if a surrounding transaction is
        rolled back.
        """
        self.runtime.log(message, level, fields)

    def stream(self, name: str, text: str, *, restart: bool = False) -> None:
        """Add text to the output ``name`` of the job, which its tenant can read while the job runs.

        It never waits: texts of a second become one event ``job.output``, at most 4 KiB long. The output of a job is
        cut at 1 MiB or 1,000 events. An output that a later execution of the job adds to begins again, and so does it
        with ``restart``: readers drop what came before. Raise ValueError for a name without or with more than 100
        characters.
        """
        self.runtime.stream(name, text, restart=restart)

    def attach(self, name: str, file: bytes | IO[bytes], content_type: str = BYTES) -> None:
        """Store a file as the job's artifact ``name``, which its tenant can download until the job is deleted.

        ``file`` is bytes or a seekable file. An artifact of the same name is replaced; it stays if the execution fails
        later. Raise PermanentError for an invalid name or ``content_type``, for more than 100 artifacts, and if the
        tenant has no room for it; TransientError if the storage is unavailable; Interrupted if the job now belongs to
        another worker.
        """
        self.runtime.attach(name, file, content_type)

    @contextmanager
    def dependency(self, dependency: Dependency | str) -> Iterator[None]:
        """Wrap the use of an external dependency: ``with context.dependency(host): ...``.

        A string names a dependency of the tenant's own. An error that leaves the block counts against it, unless the
        error is permanent. While its breaker is open the block is not entered: Interrupted is raised, no attempt is
        counted, and the job waits until the breaker closes.
        """
        named = Dependency(dependency) if isinstance(dependency, str) else dependency
        self.runtime.enter_dependency(named)
        try:
            yield
        except BaseException as error:
            self.runtime.leave_dependency(named, error)
            raise
        self.runtime.leave_dependency(named, None)

    def submit_child(self, kind: str, payload: Json | None = None, **options: Any) -> None:
        """Submit a job of the same tenant when this execution ends well; ``options`` are those of `Child`.

        The children become jobs in the transaction in which this job completes, yields, or waits for them with
        ``AwaitChildren``. An execution that ends otherwise submits none. Raise PermanentError if one
        execution submits more than MAX_CHILDREN.
        """
        self.runtime.submit_child(Child(kind, payload or {}, **options))

    def check_child(self, kind: str, payload: Json | None = None, **options: Any) -> None:
        """Raise PermanentError, with the code of the refusal, if `submit_child` with these values would be refused.

        It checks the kind, the payload and the options; limits of the tenant are checked when the child is submitted.
        """
        self.runtime.check_child(Child(kind, payload or {}, **options))

    def children(self) -> Sequence[ChildJob]:
        """Return the ended children that the job last waited for, with their results, in order of submission."""
        return self.runtime.children()

    def emit(self, topic: str, message: Json, *, key: str = "") -> None:
        """Send ``message``, a JSON object, to the tenant's outbox routes that match ``topic``.

        It is stored in the transaction of the next checkpoint or, if the execution completes, yields or waits, of its
        settlement; an execution that ends otherwise sends nothing after its last checkpoint. It is delivered at least
        once, with the same id at each attempt; messages with the same ``key`` in the order in which they were stored.
        Raise PermanentError for a topic that is not 1 to 64 lower-case letters, digits, dots and underscores, for a key
        of more than 200 characters, for more than 64 KiB of JSON, and for more than 1,000 messages or 4 MiB between
        two commits.
        """
        self.runtime.emit(topic, message, key)

    def setting(self, key: str) -> Any:
        """Return the tenant's value of a setting that the kind lists in ``settings``, or its default.

        Raise LookupError for a setting that the kind does not list.
        """
        try:
            return self.settings[key]
        except KeyError:
            raise LookupError(f"The kind {self.kind!r} does not list {key!r} in its settings.") from None
