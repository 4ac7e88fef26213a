"""The kit for job kinds: everything that a plug-in may import from the platform's core.

A kind is one class. Its ``process`` gets a frozen `JobContext` and returns an outcome; its ``handle_error`` may turn an
exception into another outcome. Both may be coroutines: see `AsyncTaskProcessor`. The kit does not depend on Django,
Celery or the database, so a processor can be tested with plain values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal
from uuid import UUID

from scheduling.kit.async_context import AsyncJobContext
from scheduling.kit.children import MAX_CHILDREN, AwaitChildren, Child, ChildJob
from scheduling.kit.context import JobContext
from scheduling.kit.dependencies import MAX_DEPENDENCY_CHARACTERS, Dependency
from scheduling.kit.outcomes import Complete, Discard, Json, Outcome, Retry, Snoozed, Suspended, Yielded

# Part of the kit: processors that use HTTP parse response headers with it.
from scheduling.kit.retry import DEFAULT_DELAYS_SECONDS, retry_after_seconds
from scheduling.kit.runtime import AsyncJobRuntime, Effects, Interrupted, JobRuntime, LogLevel

__all__ = [
    "KIT_VERSION",
    "MAX_CHILDREN",
    "MAX_DEPENDENCY_CHARACTERS",
    "MEMORY_MIB",
    "AsyncJobContext",
    "AsyncJobRuntime",
    "AsyncTaskProcessor",
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
    "ResourceName",
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
KIT_VERSION: Final = (1, 8)

type ResourceName = Literal["cpu", "io", "memory", "gpu"]
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


class TaskProcessor(ABC):
    """A job kind: a subclass sets the class attributes and implements `process`.

    - ``kind``: its name, unique over all plug-ins.
    - ``title`` and ``description``: shown to people; the default description is the class's docstring.
    - ``payload_schema``: JSON Schema 2020-12; submission refuses a payload that does not match.
    - ``timeout_seconds``: the time limit of one execution.
    - ``max_retries`` and ``retry_delays_seconds``: retries after the first attempt; the last delay repeats.
    - ``is_diagnostic``: refused unless the setting DIAGNOSTIC_KINDS is on.
    - ``is_internal``: only the platform's code submits it (`JobRequest.is_internal`); clients are refused.
    - ``is_mergeable``: several small jobs may be sent in one message and settled in one transaction; never those of an
      asynchronous kind.
    - ``travels_alone``: no other job is ever sent in one message with a job of this kind.
    - ``settings``: keys of the tenant settings that ``context.setting`` may read.
    - ``secret_fields``: payload members whose texts may contain `{{ secrets.name }}`, which ``process`` passes to
      ``scheduling.kit.http.open_headers``; in other members submission refuses such text.
    - ``log_namespaces``: loggers whose records go into the job's log; None: the package of the class; empty: none.
    - ``memory_class``: what a job may need, 256, 512 or 1,024 MiB; only pools whose children have as much run it.
    - ``needs``: what the pool of its queue must offer; a synchronous kind also needs cpu, unless it needs gpu.
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
    needs: ClassVar[Sequence[ResourceName]] = ()
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

    @classmethod
    def subjects_of(cls, payloads: Sequence[Json]) -> Sequence[UUID | None]:
        """Return for each payload the id of the data that its job is about, or None: its label limits the regions.

        Called at submission, in the tenant's scope and before the payloads are checked against the schema.
        """
        return [None] * len(payloads)

    @classmethod  # noqa: B027 - an optional hook, not a forgotten abstract method
    def preload(cls) -> None:
        """Load what all child processes share (models, tables); called once, in the worker's parent process."""


class AsyncTaskProcessor(TaskProcessor):
    """A job kind whose work is a coroutine, with the attributes of `TaskProcessor`.

    Its time limit and a request to stop cancel the coroutine. If several of its tasks fail, as in a ``TaskGroup``, the
    attempt has the first error, or ``Interrupted`` if that is among them.
    """

    @abstractmethod
    async def process(  # type: ignore[override]  # a kind gets the context of its own class
        self, context: AsyncJobContext
    ) -> Outcome | Json | None:
        """Do the work and return an outcome; a mapping or None means ``Complete``. Raise to fail the attempt."""

    async def handle_error(  # type: ignore[override]
        self, context: AsyncJobContext, error: BaseException
    ) -> Outcome | None:
        """Return the outcome for an error that ``process`` raised, or None to apply the platform's retry policy."""
        return None
