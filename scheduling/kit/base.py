"""The kit for job kinds: everything that a plug-in may import from the platform's core.

A kind is one class. Its ``process`` gets a frozen `JobContext` and returns an outcome; its ``handle_error`` may turn an
exception into another outcome. The kit does not depend on Django, Celery or the database, so a processor can be tested
with plain values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from scheduling.kit.children import MAX_CHILDREN, AwaitChildren, Child, ChildJob
from scheduling.kit.dependencies import MAX_DEPENDENCY_CHARACTERS, Dependency
from scheduling.kit.outcomes import Complete, Discard, Json, Outcome, Retry, Snoozed, Suspended, Yielded

# Part of the kit: processors that use HTTP parse response headers with it.
from scheduling.kit.retry import DEFAULT_DELAYS_SECONDS, retry_after_seconds
from scheduling.kit.runtime import Effects, JobRuntime, LogLevel

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

# The version of the names in `__all__` and their signatures: the first number rises with a change, the second with an
# addition.
KIT_VERSION: Final = (1, 5)

type MemoryClass = Literal["small", "medium", "large"]
# What each class of memory may need, in MiB.
MEMORY_MIB: Mapping[MemoryClass, int] = {"small": 256, "medium": 512, "large": 1_024}


class PermanentError(Exception):
    """The error for a job that can never succeed as it is: it becomes a dead letter at once.

    ``code`` is the stable error type that is stored with the job.
    """

    def __init__(self, message: str, *, code: str = "permanent_error") -> None:
        super().__init__(message)
        self.code = code


class TransientError(Exception):
    """The error for a job that may succeed later: it is retried after a back-off while attempts are left.

    ``code`` is the stable error type that is stored with the job. ``retry_after_seconds`` overrides the kind's
    back-off, as an HTTP ``Retry-After`` does; `retry_after_seconds()` parses that header. More than a day counts as a
    day. ``is_own_timeout``: the job waited less than usual for its dependency, so the failure does not count for
    other tenants that share it.
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
    """The error for a dependency that refuses every request, as for a wrong key or an exhausted quota.

    Raised within ``context.dependency``, it opens the tenant's breaker at once, and the job waits without using an
    attempt. Elsewhere it is a TransientError. ``retry_after_seconds`` is the wait that the dependency requested.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, code="dependency_refused", retry_after_seconds=retry_after_seconds)


class Interrupted(BaseException):
    """The exception that the platform raises at a safe point (a call of the context) to stop the processor.

    It derives from ``BaseException``, so a processor's ``except Exception`` does not catch it. ``cause`` is one of
    ``cancel``, ``shutdown``, ``deadline``, ``fence_lost``, ``dependency``.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


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

    def children(self) -> Sequence[ChildJob]:
        """Return the ended children that the job last waited for, with their results, in order of submission."""
        return self.runtime.children()

    def setting(self, key: str) -> Any:
        """Return the tenant's value of a setting that the kind lists in ``settings``, or its default.

        Raise LookupError for a setting that the kind does not list.
        """
        try:
            return self.settings[key]
        except KeyError:
            raise LookupError(f"The kind {self.kind!r} does not list {key!r} in its settings.") from None


class TaskProcessor(ABC):
    """A job kind: a subclass sets the class attributes and implements `process`.

    - ``kind``: its name, unique over all plug-ins.
    - ``title`` and ``description``: shown to people; the default description is the class's docstring.
    - ``payload_schema``: JSON Schema 2020-12; submission refuses a payload that does not match.
    - ``timeout_seconds``: the time limit of one execution.
    - ``max_retries`` and ``retry_delays_seconds``: retries after the first attempt; the last delay repeats.
    - ``is_diagnostic``: refused unless the setting DIAGNOSTIC_KINDS is on.
    - ``is_internal``: only the platform's code submits it (`JobRequest.is_internal`); clients are refused.
    - ``is_mergeable``: several small jobs may be sent in one message and settled in one transaction.
    - ``travels_alone``: no other job is ever sent in one message with a job of this kind.
    - ``settings``: keys of the tenant settings that ``context.setting`` may read.
    - ``secret_fields``: payload members whose texts may contain `{{ secrets.name }}`, which ``process`` passes to
      ``scheduling.kit.http.open_headers``; in other members submission refuses such text.
    - ``log_namespaces``: loggers whose records go into the job's log; None: the package of the class; empty: none.
    - ``memory_class``: what a job may need, 256, 512 or 1,024 MiB; only pools whose children have as much run it.
    - ``has_circuit``: failures in a row make the tenant's other jobs of the kind wait.
    - ``dependencies``: those that every job needs; while one is down none starts. ``context.dependency`` adds others.
    - ``default_queue``: the queue of its jobs unless a routing rule matches the kind.
    - ``concurrency_limit``: how many of a tenant's jobs of the kind with the same concurrency key run at once.
    - ``result_kept_seconds``: for how long a result is reused for the tenant's jobs of an equal payload; 0: never.
    - ``result_version``: change it when the same payload has another result from now on.
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
    travels_alone: ClassVar[bool] = False
    settings: ClassVar[Sequence[str]] = ()
    secret_fields: ClassVar[Sequence[str]] = ()
    log_namespaces: ClassVar[Sequence[str] | None] = None
    memory_class: ClassVar[MemoryClass] = "small"
    has_circuit: ClassVar[bool] = True
    dependencies: ClassVar[Sequence[Dependency]] = ()
    default_queue: ClassVar[str] = ""
    concurrency_limit: ClassVar[int] = 1
    result_kept_seconds: ClassVar[float] = 0.0
    result_version: ClassVar[str] = ""

    @abstractmethod
    def process(self, context: JobContext) -> Outcome | Json | None:
        """Do the work and return an outcome; a mapping or None means ``Complete``. Raise to fail the attempt."""

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Return the outcome for an error that ``process`` raised, or None to apply the platform's retry policy."""
        return None

    @classmethod  # noqa: B027 - an optional hook, not a forgotten abstract method
    def preload(cls) -> None:
        """Load what all child processes share (models, tables); called once, in the worker's parent process."""
