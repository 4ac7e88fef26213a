"""The kit for job kinds: everything a plug-in may import from the platform's core.

A kind is one class. Its ``process`` gets a frozen `JobContext` and answers with an
outcome; its ``handle_error`` may turn an exception into another outcome. Nothing here knows
Django, Celery or the database, so a processor is testable with plain values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, Protocol
from uuid import UUID

from scheduling.kit.children import MAX_CHILDREN, AwaitChildren, Child, ChildJob
from scheduling.kit.dependencies import MAX_DEPENDENCY_CHARACTERS, Dependency
from scheduling.kit.outcomes import Complete, Discard, Json, Outcome, Retry, Snoozed, Suspended, Yielded

# Part of the kit: a processor that speaks HTTP reads the header of an answer with it.
from scheduling.kit.retry import DEFAULT_DELAYS_SECONDS, retry_after_seconds

__all__ = [
    "KIT_VERSION",
    "MAX_CHILDREN",
    "MAX_DEPENDENCY_CHARACTERS",
    "MEMORY_MIB",
    "AwaitChildren",
    "Child",
    "ChildJob",
    "Complete",
    "Dependency",
    "DependencyRefusedError",
    "Discard",
    "Effects",
    "Interrupted",
    "JobContext",
    "JobRuntime",
    "Json",
    "LogLevel",
    "MemoryClass",
    "Outcome",
    "PermanentError",
    "Retry",
    "Snoozed",
    "Suspended",
    "TaskProcessor",
    "TransientError",
    "Yielded",
    "retry_after_seconds",
]

# The names in `__all__` and their signatures: the first number rises when one changes, the second when one is added.
KIT_VERSION: Final = (1, 4)

type Effects = Callable[[], object]
type MemoryClass = Literal["small", "medium", "large"]
# What each class of memory may need, in MiB.
MEMORY_MIB: Mapping[MemoryClass, int] = {"small": 256, "medium": 512, "large": 1_024}
type LogLevel = Literal["debug", "info", "warning", "error"]


class PermanentError(Exception):
    """The job can never succeed as it is: it becomes a dead letter at once."""

    def __init__(self, message: str, *, code: str = "permanent_error") -> None:
        super().__init__(message)
        self.code = code


class TransientError(Exception):
    """The job may succeed later: it is retried after a back-off while attempts are left.

    ``retry_after_seconds`` overrides the kind's own back-off, as an HTTP ``Retry-After`` asks for; the function of
    the same name reads one. More than a day counts as a day. ``is_own_timeout``: the job waited less than is usual for
    what it depends on, so that this failure says nothing to other tenants that share it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "transient_error",
        retry_after_seconds: float | None = None,
        is_own_timeout: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_seconds = retry_after_seconds
        self.is_own_timeout = is_own_timeout


class DependencyRefusedError(TransientError):
    """A dependency refuses every request, such as for a wrong key or a quota that is used up.

    Raised within ``context.dependency``, it opens the tenant's breaker at once and the job waits; no attempt is
    counted. Elsewhere it is a TransientError.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, code="dependency_refused", retry_after_seconds=retry_after_seconds)


class Interrupted(BaseException):
    """The platform takes the job back at a safe point: cancelled, shut down or fenced off.

    It derives from ``BaseException`` so that a processor's ``except Exception`` lets it pass.
    ``cause`` is one of ``cancel``, ``shutdown``, ``deadline``, ``fence_lost``, ``dependency``.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class JobRuntime(Protocol):
    """What the worker lends a context; processors use the context's methods instead."""

    def checkpoint(self, state: Json, effects: Effects | None) -> None: ...

    def in_settlement(self, effects: Effects) -> None: ...

    def report_progress(self, current: int, total: int, message: str) -> None: ...

    def should_yield(self) -> bool: ...

    def log(self, message: str, level: LogLevel, fields: Json) -> None: ...

    def enter_dependency(self, dependency: Dependency) -> None: ...

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None: ...

    def submit_child(self, child: Child) -> None: ...

    def children(self) -> Sequence[ChildJob]: ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """One execution of one job, as its processor sees it.

    ``attempt`` counts from 1. ``state`` is the last checkpoint, empty at the first start.
    ``fencing_token`` rises with each start of the job: hand it to systems outside that can
    refuse an older one. ``idempotency_key`` is the same for all starts of the job. ``settings``
    are the tenant's, as they were at the start: those that the kind declares.
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
        """Store ``state`` and run ``effects`` in one transaction under the fence.

        Effects run as the restricted role with the job's tenant set; they take hold exactly
        once or not at all. Raises Interrupted when the job was taken away in the meantime.
        """
        self.runtime.checkpoint(state, effects)

    def in_settlement(self, effects: Effects) -> None:
        """Run ``effects`` in the transaction that settles this execution as completed."""
        self.runtime.in_settlement(effects)

    def report_progress(self, current: int, total: int, message: str = "") -> None:
        """Show how far the job is; cheap to call often, written at most once a second."""
        self.runtime.report_progress(current, total, message)

    def should_yield(self) -> bool:
        """Whether to return ``Yielded`` at this safe point; cheap to ask often, it reads memory only.

        True once the time slice is used and somebody whose turn comes first waits for the slot.
        Raises Interrupted when the job was cancelled or its worker shuts down.
        """
        return self.runtime.should_yield()

    def log(self, message: str, *, level: LogLevel = "info", **fields: Any) -> None:
        """Add a line to the job's log, which its tenant reads while the job runs.

        Never raises and never waits for the database. What cannot be stored as it is, is stored as
        text; message and fields are cut at 4 KiB each, the log of a job at 1 MiB. The line stays
        whatever becomes of the transaction around it.
        """
        self.runtime.log(message, level, fields)

    @contextmanager
    def dependency(self, dependency: Dependency | str) -> Iterator[None]:
        """Around what needs something outside: ``with context.dependency(host): ...``; a string is the tenant's own.

        An error that leaves the block counts against it, unless no time could heal it. While its breaker is open the
        block is not entered: Interrupted is raised, no attempt is counted, and the job waits until it is back.
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

        All of them become jobs in the transaction that completes the job, yields, or waits for them by
        ``AwaitChildren``; an execution that ends otherwise has submitted none. At most MAX_CHILDREN an execution.
        """
        self.runtime.submit_child(Child(kind, payload or {}, **options))

    def children(self) -> Sequence[ChildJob]:
        """What became of the children that the job has last waited for, in the order of their submission."""
        return self.runtime.children()

    def setting(self, key: str) -> Any:
        """The tenant's value of a setting that the kind lists in ``settings``, else its default."""
        try:
            return self.settings[key]
        except KeyError:
            raise LookupError(f"The kind {self.kind!r} does not list {key!r} in its settings.") from None


class TaskProcessor(ABC):
    """A job kind. Subclasses set the class attributes and implement `process`.

    ``payload_schema`` is JSON Schema 2020-12; a payload that does not fit is refused at
    submission. ``is_diagnostic`` kinds are refused unless the setting DIAGNOSTIC_KINDS is on. ``is_internal`` kinds are
    submitted by the platform's own code (`JobRequest.is_internal`) and refused to every client.
    ``settings`` are keys of tenant settings that ``context.setting`` is asked for. ``secret_fields`` are members of
    the payload in whose texts `{{ secrets.name }}` may stand: those that ``process`` hands to
    ``scheduling.kit.http.open_headers``; everywhere else such a text is refused at submission. What Python's
    ``logging`` records under ``log_namespaces`` goes into the job's log too; None is the package
    that the class stands in, an empty sequence turns this off. ``is_mergeable`` False: small jobs of the kind do not
    travel with others, each has a message and a settlement of its own. ``memory_class`` is what a job may need: 256,
    512 or 1,024 MiB; only pools whose children have as much are given it. ``has_circuit`` says whether failures in a
    row make the tenant's other jobs of the kind wait. ``dependencies`` are those that every job of the kind needs:
    while one of them is down none is started. Others are named by ``context.dependency`` alone. ``default_queue`` names
    the queue of its jobs as long as no routing rule names the kind. ``result_kept_seconds`` is for how long the result
    of a job answers the tenant's jobs with an equal payload, which then do no work; 0: each computes its own.
    ``result_version`` is changed when the same payload has another result from now on.
    ``description`` is shown to people beside ``title``; without one the class's docstring is.
    """

    kind: ClassVar[str]
    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    payload_schema: ClassVar[Json] = {"type": "object"}
    timeout_seconds: ClassVar[float] = 300.0
    max_retries: ClassVar[int] = 3
    retry_delays_seconds: ClassVar[Sequence[float]] = DEFAULT_DELAYS_SECONDS
    is_diagnostic: ClassVar[bool] = False
    is_internal: ClassVar[bool] = False
    is_mergeable: ClassVar[bool] = True
    settings: ClassVar[Sequence[str]] = ()
    secret_fields: ClassVar[Sequence[str]] = ()
    log_namespaces: ClassVar[Sequence[str] | None] = None
    memory_class: ClassVar[MemoryClass] = "small"
    has_circuit: ClassVar[bool] = True
    dependencies: ClassVar[Sequence[Dependency]] = ()
    default_queue: ClassVar[str] = ""
    result_kept_seconds: ClassVar[float] = 0.0
    result_version: ClassVar[str] = ""

    @abstractmethod
    def process(self, context: JobContext) -> Outcome | Json | None:
        """Do the work. A mapping or None means ``Complete``; raise to fail the attempt."""

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Turn an error into an outcome; None leaves it to the platform's policy."""
        return None

    @classmethod  # noqa: B027 - an optional hook, not a forgotten abstract method
    def preload(cls) -> None:
        """Load what all children share (models, tables) in the worker's parent, once."""
