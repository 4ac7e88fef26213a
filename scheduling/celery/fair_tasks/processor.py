"""The job kind of a Celery task: a processor that runs the task's function.

The platform replaces what Celery's worker does after a run: a retry is an outcome and publishes nothing, and an error
that the task does not retry is final, as in Celery.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, ClassVar

from celery.app.task import Task
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from scheduling.celery.fair_tasks.signatures import CallSignature
from scheduling.kit.base import (
    Complete,
    Discard,
    JobContext,
    Outcome,
    PermanentError,
    Retry,
    TaskProcessor,
    TransientError,
)
from tenants.exceptions import DomainError

_job: ContextVar[JobContext | None] = ContextVar("fair_task_job", default=None)
# These errors define themselves whether a retry may help.
_PLATFORM_ERRORS = (PermanentError, TransientError, DomainError)


def current_job() -> JobContext | None:
    """Return the context of the job whose task is running; None if Celery or a plain call runs the task."""
    return _job.get()


class FairTaskProcessor(TaskProcessor):
    """A processor that runs a Celery task's function; `FairTask.kind_class` creates a subclass for each task."""

    task: ClassVar[Task]
    call: ClassVar[CallSignature]

    def process(self, context: JobContext) -> Outcome:
        """Call the task's function with the payload's arguments; return its result or its retry as an outcome."""
        args, kwargs = self.call.call_of(context.payload)
        token = _job.set(context)
        self._push_request(context, args, kwargs)
        try:
            # Calling the task itself would start a request of its own, without the retry count.
            answer = self.task.run(*args, **kwargs)
        finally:
            self.task.pop_request()
            _job.reset(token)
        # `retry(throw=False)` returns what it would raise.
        return self._retried(answer) if isinstance(answer, CeleryRetry) else completed(answer)

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Return the outcome that Celery's worker would give the error: a retry, a discard or a completion.

        Return None for an error of the kit or the platform, which the platform's policy settles.
        """
        match error:
            case CeleryRetry():
                return self._retried(error)
            case Reject(requeue=True):
                return Retry(error)
            case Reject():
                return Discard(str(error.reason or "The task rejected the job."), error)
            case Ignore():
                return Complete()
            case _ if isinstance(error, _PLATFORM_ERRORS):
                return None
            case _ if context.attempt > self.max_retries:
                # Celery raises the last error once retries are used up; so does this.
                return Retry(error)
        return Discard(str(error) or type(error).__name__, error)

    def _push_request(self, context: JobContext, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        job_id = str(context.job_id)
        self.task.push_request(
            id=job_id,
            root_id=job_id,
            correlation_id=job_id,
            task=self.task.name,
            args=args,
            kwargs=dict(kwargs),
            retries=context.attempt - 1,
            called_directly=False,
            # Makes `retry` raise instead of sending a message.
            is_eager=True,
            expires=context.deadline_at,
            job=context,
        )

    def _retried(self, asked: CeleryRetry) -> Outcome:
        error = asked.exc if isinstance(asked.exc, BaseException) else asked
        return Retry(error, after_seconds=seconds_until(asked.when))


def completed(answer: Any) -> Complete:
    """Return the completion of a job with the task's return value as result.

    A mapping or None is the result as it is; any other value becomes ``{"value": value}``.
    """
    if answer is None or isinstance(answer, Mapping):
        return Complete(answer)
    return Complete({"value": answer})


def seconds_until(when: float | datetime | None) -> float | None:
    """Return the delay in seconds of Celery's ``countdown`` or ``eta``; a time without a zone is UTC."""
    if isinstance(when, datetime):
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    return when
