"""Acts that the tests of this folder repeat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

from django.db import connection
from django.db.models import Model

from scheduling.dispatch.tick import TickResult
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.jobs.waits.waiting_reason import WaitingReason
from scheduling.models import CFSPlanTier, Job, JobTemplateVersion
from tenants.context import all_tenants
from tenants.models import Tenant

type Tick = Callable[[], TickResult]
type Start = Callable[[UUID], StartedExecution | None]


def submit(tenant: Tenant, count: int = 1, kind: str = "noop", **options: object) -> list[Job]:
    """Submit `count` equal jobs, all of which must be accepted."""
    requests = [JobRequest(kind=kind, **options) for _ in range(count)]  # type: ignore[arg-type]
    bulk = submit_jobs(tenant=tenant, requests=requests)
    assert not bulk.rejected
    return [submission.job for _, submission in bulk.accepted]


def use_one_pool() -> None:
    """Let the tiers' jobs of asynchronous kinds go to the pool `default` too."""
    with all_tenants():
        CFSPlanTier.objects.update(io_queue=None)


def reload(job: Job) -> Job:
    """Return the job as it is in the database now."""
    with all_tenants():
        return Job.objects.get(pk=job.pk)


def begin(start: Start, job: Job) -> StartedExecution:
    """Start a dispatched job, which must succeed."""
    started = start(job.pk)
    assert started is not None
    return started


def complete(start: Start, job: Job) -> None:
    """Start a dispatched job and settle it as completed."""
    started = begin(start, job)
    assert settle([Settlement.completed(started.execution_id, started.fence, None)])


def fail(start: Start, job: Job, *, is_permanent: bool = False) -> None:
    """Start a dispatched job and let its attempt fail."""
    started = begin(start, job)
    failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=is_permanent)
    settle(
        [
            settlement_builders.failed(
                started.execution_id,
                started.fence,
                failure,
                failed_attempts=started.attempt,
                policy=settlement_builders.RetryPolicy(max_retries=started.max_retries),
            )
        ]
    )


def reasons_of(job: Job) -> list[WaitingReason]:
    """Return the reasons why a job of the scope waits."""
    explanation = why_waiting(job)
    assert explanation is not None
    return explanation.reasons


def in_flight() -> list[Job]:
    """Return the jobs that are dispatched or executing, oldest first."""
    with all_tenants():
        return list(Job.objects.in_flight().order_by("id"))


def age(model: type[Model], **columns: float) -> None:
    """Set timestamps of all rows of a model to so many seconds ago."""
    with all_tenants(), connection.cursor() as cursor:
        for column, seconds in columns.items():
            cursor.execute(f"UPDATE {model._meta.db_table} SET {column} = now() - make_interval(secs => %s)", [seconds])


def beside(act: Callable[[], None]) -> threading.Thread:
    """Start a call on another connection, and return once it has begun."""

    def run() -> None:
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after 20 seconds."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_another_waiting() -> bool:
    """Return whether another connection waits for a lock of this one's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def write_version(template_id: UUID | str, number: int, **parts: object) -> None:
    """Add a version of a job template past its service: the first one with other parts."""
    with all_tenants():
        first = JobTemplateVersion.objects.get(template_id=template_id, number=1)
        values = {column.attname: getattr(first, column.attname) for column in JobTemplateVersion._meta.fields}
        values |= {"number": number, "content": {**first.content, **parts}}
        JobTemplateVersion.objects.create(**{name: value for name, value in values.items() if name != "id"})
