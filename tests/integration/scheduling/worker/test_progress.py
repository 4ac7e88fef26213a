"""Progress: visible within a second while the job runs, and stored at its end without a further statement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, transaction

from scheduling.execution import runtime
from scheduling.execution.logs import job_log
from scheduling.kit.base import Interrupted, JobContext, Yielded
from scheduling.models import Job, JobLog
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.processes import eventually
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Run, RunMerged, raising

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


def progress_of(job: Job) -> tuple[int, int, str]:
    return job.progress_current, job.progress_total, job.progress_message


def read_elsewhere(job: Job) -> tuple[int, int, str]:
    """Return the job's progress as another connection sees it."""
    seen: list[Job] = []

    def read() -> None:
        from django.db import connection

        seen.append(reload(job))
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    return progress_of(seen[0])


def test_last_report_is_visible_while_the_job_computes(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        context.report_progress(0, 3)
        with transaction.atomic():
            context.report_progress(1, 3, "computing")
            eventually(lambda: read_elsewhere(job) == (1, 3, "computing"), what="the report is seen")

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    assert run(job).state == "completed"


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda *_: None, "completed"),
        (lambda *_: Yielded({}), "available"),
        (raising(ValueError("no")), "retryable"),
        (raising(Interrupted("cancel")), "cancelled"),
        (raising(Interrupted("shutdown")), "available"),
    ],
)
def test_last_report_is_part_of_the_settlement_for_every_ending(
    acme: Tenant,
    run: Run,
    set_processor: Follow,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[], object],
    state: str,
) -> None:
    monkeypatch.setattr(runtime, "save_progress", raising(AssertionError("written by a statement of its own")))

    def process(context: JobContext) -> object:
        context.report_progress(1, 3)
        context.report_progress(2, 3, "half\0way")
        return end()

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, progress_of(job)) == (state, (2, 3, "half\N{REPLACEMENT CHARACTER}way"))


def test_progress_of_an_earlier_start_is_kept_without_a_new_report(
    acme: Tenant, run: Run, set_processor: Follow
) -> None:
    (job,) = submit(acme, kind="scripted")
    set_processor(lambda context: (context.report_progress(1, 3, "begun"), Yielded({}))[1])
    assert progress_of(run(job)) == (1, 3, "begun")
    set_processor(lambda context: None)
    assert progress_of(run(job)) == (1, 3, "begun")


def test_progress_is_separate_for_jobs_of_one_message(
    acme: Tenant,
    run_merged: RunMerged,
    set_processor: Follow,
) -> None:
    set_processor(lambda context: context.report_progress(context.payload["page"], 9))
    jobs = [job for page in (1, 2) for job in submit(acme, kind="scripted", payload={"page": page})]
    assert [progress_of(job) for job in run_merged(jobs)] == [(1, 9, ""), (2, 9, "")]


@pytest.mark.parametrize("reported", [(2**63, 1), (0, -(2**63) - 1), ("many", 1), (float("nan"), 1), (None, 1)])
def test_progress_beyond_64_bits_fails_the_attempt(
    acme: Tenant, run: Run, set_processor: Follow, reported: tuple[Any, Any]
) -> None:
    set_processor(lambda context: context.report_progress(*reported))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, progress_of(job)) == ("retryable", (0, 0, ""))
    assert job.error_type in {"ValueError", "TypeError"}


def test_database_outage_loses_no_report(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def away(**_: object) -> None:
        tried.set()
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(runtime, "save_progress", away)

    def process(context: JobContext) -> None:
        context.report_progress(1, 3, "on its way")
        assert tried.wait(30)

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert progress_of(run(job)) == (1, 3, "on its way")


def test_lines_are_written_while_a_report_waits_for_the_row(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "FLUSH_SECONDS", 0.05)

    def process(context: JobContext) -> None:
        def effects() -> None:
            context.report_progress(1, 3)
            eventually(context.runtime._progress_writing.locked, what="the report waits")  # type: ignore[attr-defined]
            context.log("seen")
            eventually(lambda: read_elsewhere_log(job) == ["seen"], what="the line is seen")

        context.checkpoint({}, effects)

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    assert progress_of(run(job)) == (1, 3, "")


def read_elsewhere_log(job: Job) -> list[str]:
    """Return the job's lines as another connection sees them."""
    seen: list[str] = []

    def read() -> None:
        from django.db import connection

        with tenant_context(job.tenant_id):
            seen.extend(JobLog.objects.filter(job_id=job.pk).values_list("message", flat=True))
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    return seen


def test_report_inside_a_transaction_does_not_deadlock_with_the_thread(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PROGRESS_SECONDS", 0.05)
    monkeypatch.setattr(job_log, "FLUSH_SECONDS", 0.05)
    still_waits: list[bool] = []

    def process(context: JobContext) -> None:
        writing = context.runtime._progress_writing  # type: ignore[attr-defined]

        def effects() -> None:
            context.report_progress(1, 3)
            # The checkpoint locks the job's row, so the thread waits until the effects have ended.
            eventually(lambda: writing.locked() and is_due(), what="the thread writes")
            context.report_progress(2, 3)
            still_waits.append(writing.locked())

        def is_due() -> bool:
            return time.monotonic() >= context.runtime._progress_due_at  # type: ignore[attr-defined, no-any-return]

        context.checkpoint({}, effects)

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert progress_of(run(job)) == (2, 3, "")
    assert still_waits == [True]
