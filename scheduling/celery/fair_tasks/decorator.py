"""The `@fair_task` decorator: a Celery task that may also be submitted as a tenant's job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.app.task import Task
from celery.local import Proxy

from scheduling.celery.fair_tasks.processor import FairTaskProcessor, current_job
from scheduling.celery.fair_tasks.sending import canvas_unsupported, guard, tenant_missing
from scheduling.celery.fair_tasks.signatures import CallSignature
from scheduling.kit.base import Child, TaskProcessor

if TYPE_CHECKING:
    from scheduling.jobs.requests import JobRequest
    from scheduling.models import Job
    from tenants.models import Tenant

# The kind's attributes that the decorator may set; the others come from the task.
_ATTRIBUTES = frozenset(
    {"payload_schema", "timeout_seconds", "max_retries", "retry_delays_seconds", "is_mergeable", "travels_alone"}
    | {"settings", "log_namespaces", "memory_class", "needs", "has_circuit", "dependencies", "concurrency_limit"}
)


class FairTaskUnlistedError(LookupError):
    """The error for a task that no app and no entry point names: dispatchers and workers would not find its kind."""


def fair_task(
    *, kind: str, queue: str = "", title: str = "", **attributes: Any
) -> Callable[[Task | Callable[..., Any]], FairTask]:
    """Return a decorator that lets a Celery task also run as a tenant's job of this kind.

    A plain function becomes a shared task first. ``queue`` is the queue of its jobs unless a routing rule names the
    kind. ``attributes`` are those of `TaskProcessor`, such as ``timeout_seconds`` or ``max_retries``. Raise TypeError
    for an unknown attribute and for a coroutine function.
    """
    if unknown := attributes.keys() - _ATTRIBUTES:
        raise TypeError(_unknown("fair_task", unknown, _ATTRIBUTES))

    def decorate(task: Task | Callable[..., Any]) -> FairTask:
        # A shared task is a proxy until Celery's application is complete; reading its class would resolve it.
        is_task = isinstance(task, Proxy | Task)
        _refuse_coroutine(kind, task)
        return FairTask(
            task if is_task else shared_task(task),
            attributes | {"kind": kind, "default_queue": queue, "title": title},
        )

    return decorate


class FairTask:
    """A Celery task that `for_tenant` submits as a job; all other attributes are those of the task.

    Sent without a tenant outside of a job, it raises TenantMissingError; a signature raises CanvasUnsupportedError.
    """

    def __init__(self, task: Task, attributes: Mapping[str, Any]) -> None:
        self.task = task
        self._attributes = attributes
        guard(task)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's function in this process and return its result, as a call of the task does."""
        return self.task(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "task":
            raise AttributeError(name)  # while it is being copied, before it has one
        return getattr(self.task, name)

    def __repr__(self) -> str:
        return f"<fair task {self.kind}>"

    @property
    def kind(self) -> str:
        """Return the kind of the task's jobs."""
        return str(self._attributes["kind"])

    @cached_property
    def kind_class(self) -> type[TaskProcessor]:
        """Return the processor class of the task's jobs.

        It is created on first use, because a shared task exists only by then.
        """
        run = self.task.run
        _refuse_coroutine(self.kind, run)
        call = CallSignature.of(run)
        said = {
            "payload_schema": call.schema,
            "max_retries": TaskProcessor.max_retries if self.task.max_retries is None else self.task.max_retries,
            "retry_delays_seconds": (self.task.default_retry_delay,),
            "timeout_seconds": self.task.time_limit or TaskProcessor.timeout_seconds,
            # A task's side effects are settled before the next one starts.
            "is_mergeable": False,
        }
        about = {"__module__": run.__module__, "__doc__": run.__doc__, "task": self.task, "call": call}
        return type(f"{self.kind}_job", (FairTaskProcessor,), said | dict(self._attributes) | about)

    def delay(self, *args: Any, **kwargs: Any) -> None:
        """Submit a child of the running job that calls the task with these arguments.

        The child is a job of the same tenant. It is submitted in the transaction in which the running job completes,
        yields or waits: exactly once, and not by a failed attempt. Raise TenantMissingError outside of a job.
        """
        self.apply_async(args, kwargs)

    def apply_async(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Submit a child of the running job as `delay` does; ``options`` are those of a child, such as ``priority``."""
        job = current_job()
        if job is None:
            raise tenant_missing(self._name)
        allowed = {item.name for item in fields(Child)} - {"kind", "payload"}
        if unknown := options.keys() - allowed:
            raise TypeError(_unknown("apply_async", unknown, allowed))
        kind_class: Any = self.kind_class
        payload = kind_class.call.payload_of(args, kwargs or {})
        _check_listed(self.kind)
        job.submit_child(self.kind, payload, **options)

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """Raise CanvasUnsupportedError: jobs have no signatures."""
        raise canvas_unsupported(self._name)

    s = si = subtask = map = starmap = chunks = signature

    @property
    def _name(self) -> str:
        return str(self.task.name)

    def for_tenant(self, tenant: Tenant | str, **options: Any) -> TenantTask:
        """Return the task bound to a tenant, which is given as an object or by its slug.

        ``options`` are those of a job, such as ``run_at``. A job is submitted in the caller's transaction, so a
        rollback undoes that.
        """
        return TenantTask(self, tenant, options)


class TenantTask:
    """A fair task bound to one tenant; its `delay` and `apply_async` submit jobs."""

    def __init__(self, task: FairTask, tenant: Tenant | str, options: Mapping[str, Any]) -> None:
        from scheduling.jobs.requests import JobRequest

        allowed = {item.name for item in fields(JobRequest)} - {"kind", "payload"}
        if unknown := options.keys() - allowed:
            raise TypeError(_unknown("for_tenant", unknown, allowed))
        self._task = task
        self._tenant = tenant
        self._options = options

    def delay(self, *args: Any, **kwargs: Any) -> Job:
        """Submit a job that calls the task with these arguments, and return it.

        Raise TypeError for arguments that do not fit the signature, or the DomainError of a refused submission:
        PayloadInvalidError for a value that is not JSON or not of the annotated type.
        """
        return self._submit(self._request(args, kwargs))

    def apply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | None = None,
        expires: float | datetime | None = None,
    ) -> Job:
        """Submit a job as `delay` does; ``countdown`` and ``eta`` set its ``run_at``, ``expires`` its ``deadline``."""
        request = self._request(args, kwargs or {})
        starts = eta if countdown is None else _after(countdown)
        ends = _after(expires) if isinstance(expires, int | float) else expires
        return self._submit(replace(request, run_at=starts or request.run_at, deadline=ends or request.deadline))

    def _request(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> JobRequest:
        from scheduling.jobs.requests import JobRequest

        kind_class: Any = self._task.kind_class
        return JobRequest(kind=self._task.kind, payload=kind_class.call.payload_of(args, kwargs), **self._options)

    def _submit(self, request: JobRequest) -> Job:
        # Modules with tasks are imported while Django still loads its models.
        from scheduling.jobs.submission import submit_job
        from tenants.tenancy.queries import find_tenant

        _check_listed(request.kind)
        tenant = find_tenant(self._tenant) if isinstance(self._tenant, str) else self._tenant
        return submit_job(tenant=tenant, request=request).job


def _check_listed(kind: str) -> None:
    from scheduling.kit import registry

    if kind not in registry.kinds():
        raise FairTaskUnlistedError(
            f"The kind {kind!r} is not registered: add the task's path to `processors` of your AppConfig, "
            "or to the entry points of your package."
        )


def _refuse_coroutine(kind: str, function: object) -> None:
    if iscoroutinefunction(function):
        raise TypeError(f"The fair task {kind!r} is a coroutine function: write its kind as an AsyncTaskProcessor.")


def _unknown(name: str, unknown: Set[str], allowed: Set[str]) -> str:
    return f"{name}() does not accept {', '.join(sorted(unknown))}; it accepts {', '.join(sorted(allowed))}."


def _after(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
