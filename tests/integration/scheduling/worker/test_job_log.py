"""Job logs: stored independently of the job's transactions, bounded, and isolated by tenant."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from django.db import OperationalError, transaction

from scheduling import conf
from scheduling.execution.logs import buffer as log_buffer
from scheduling.execution.logs import job_log
from scheduling.execution.logs import service as job_logs
from scheduling.execution.logs.queries import read_log
from scheduling.kit.base import Interrupted, JobContext, Retry, TransientError
from scheduling.models import Job, JobLog, JobLogTally
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.acceptance.processes import eventually
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, raising

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


def lines_of(job: Job) -> list[tuple[str, str, dict[str, Any]]]:
    with tenant_context(job.tenant_id):
        rows = read_log(job, limit=10_000).lines
    return [(row.get_level_display(), row.message, row.fields) for row in rows]


def messages_of(job: Job) -> list[str]:
    return [message for _, message, _ in lines_of(job)]


def test_lines_are_stored_in_order_with_level_and_fields(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        context.log("begun", pages=3, ratio=0.5, is_new=True, parts=["a", {"b": None}])
        context.log("odd page", level="warning", page=2)

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert lines_of(job) == [
        ("info", "begun", {"pages": 3, "ratio": 0.5, "is_new": True, "parts": ["a", {"b": None}]}),
        ("warning", "odd page", {"page": 2}),
    ]


def test_job_without_lines_starts_no_thread_and_writes_nothing(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_buffer, "append_job_logs", raising(AssertionError("written")))
    threads: list[str] = []
    set_processor(lambda context: threads.extend(thread.name for thread in threading.enumerate()))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert "job-log" not in threads
    with all_tenants():
        assert not JobLogTally.objects.exists()


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (raising(ValueError("no")), "retryable"),
        (raising(Interrupted("cancel")), "cancelled"),
        (raising(Interrupted("shutdown")), "available"),
        (lambda: Retry(TransientError("later")), "retryable"),
    ],
)
def test_lines_are_stored_for_every_ending_of_the_execution(
    acme: Tenant, run: Run, set_processor: Follow, end: Callable[[], object], state: str
) -> None:
    def process(context: JobContext) -> object:
        context.log("before the end")
        return end()

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == state
    assert messages_of(job) == ["before the end"]


def test_line_survives_the_rollback_of_its_effect(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "SAFE_POINT_SECONDS", 0.0)

    def process(context: JobContext) -> None:
        def effects() -> None:
            context.log("in the transaction")
            context.should_yield()
            raise ArithmeticError

        context.checkpoint({}, effects)

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "retryable"
    assert messages_of(job) == ["in the transaction"]


def test_lines_are_visible_once_the_job_has_ended(acme: Tenant, run: Run, set_processor: Follow) -> None:
    seen: list[int] = []

    def process(context: JobContext) -> None:
        context.log("done")
        context.in_settlement(lambda: seen.append(JobLog.objects.count()))

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert seen == [1]


def test_lines_logged_by_settlement_effects_are_stored(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(lambda context: context.in_settlement(lambda: context.log("settling")))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert messages_of(job) == ["settling"]


def test_line_is_visible_while_the_job_computes_in_a_transaction(acme: Tenant, run: Run, set_processor: Follow) -> None:
    seen: list[list[str]] = []

    def process(context: JobContext) -> None:
        with transaction.atomic():
            context.log("working")
            eventually(lambda: _read_elsewhere(seen, job), what="the line is seen")

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    run(job)
    assert seen[-1] == ["working"]


def _read_elsewhere(seen: list[list[str]], job: Job) -> bool:
    def read() -> None:
        from django.db import connection

        seen.append(messages_of(job))
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    return bool(seen[-1])


def test_safe_points_write_without_a_second_connection(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "SAFE_POINT_SECONDS", 0.0)
    counts: list[int] = []

    def process(context: JobContext) -> None:
        for act in (context.should_yield, lambda: context.checkpoint({}), lambda: context.report_progress(1, 2)):
            context.log("here")
            act()
            counts.append(len(messages_of(job)))

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    run(job)
    assert counts == [1, 2, 3]


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_odd_input_is_made_storable_and_never_raises(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        context.log("nul\0 surrogate\ud800", nan=float("nan"), big=10**5000, who=Hostile(), when={1: {2, 3}})
        context.log(None, level="loud", keys={"a\0": "b\udfff"})  # type: ignore[arg-type]
        context.log("x" * 10_000, text="y" * 10_000)
        context.log("many", **{f"field{n}": "z" * 100 for n in range(200)})
        nested: list[Any] = []
        nested.append(nested)
        context.log("nested", nested=nested)

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    rows = lines_of(job)
    assert len(rows) == 5
    assert rows[0][1] == "nul� surrogate?"
    assert rows[0][2]["nan"] == "nan"
    assert "without text" in rows[0][2]["who"]
    assert rows[1][:2] == ("info", "None")
    assert all(len(message.encode()) <= 4096 and len(str(fields).encode()) <= 5000 for _, message, fields in rows)
    assert rows[3][2]["_cut"].startswith("field")


def test_log_of_a_job_is_limited_over_all_attempts(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_logs, "MAX_LOG_BYTES", 3_000)
    set_processor(lambda context: [context.log(f"{context.attempt}.{n} " + "x" * 100) for n in range(12)] and _fail())
    (job,) = submit(acme, kind="scripted")
    _run_again(job, run)
    first = messages_of(job)
    _run_again(job, run)
    second = messages_of(job)
    assert len(first) == 12
    assert [message[:4] for message in second[12:-1]] == [f"2.{n} "[:4] for n in range(len(second) - 13)]
    kept = len(second) - 1
    assert second[-1] == f"log is full, {24 - kept} lines dropped"
    _run_again(job, run)
    assert messages_of(job)[:-1] == second[:-1]
    assert messages_of(job)[-1] == f"log is full, {36 - kept} lines dropped"
    assert _stored_bytes(job) <= 3_000


def _fail() -> None:
    raise ValueError("again")


def _run_again(job: Job, run: Run) -> None:
    from scheduling.jobs.retries import retry_job

    with tenant_context(job.tenant_id):
        job = Job.objects.get(pk=job.pk)
        if job.state == "retryable":
            retry_job(job_id=job.pk)
    run(job)


def _stored_bytes(job: Job) -> int:
    return sum(
        len(message.encode()) + job_logs.LINE_OVERHEAD_BYTES
        for message in messages_of(job)
        if not message.startswith(job_logs.LOG_FULL)
    )


def test_log_limit_holds_for_a_flood_of_lines(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        for _ in range(4):
            for _ in range(log_buffer.MAX_BUFFERED_LINES):
                context.log("x" * 2_000)
            context.runtime._log.flush()  # type: ignore[attr-defined]

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert 0.95 * conf.MAX_LOG_BYTES < _stored_bytes(job) <= conf.MAX_LOG_BYTES
    stored = len(messages_of(job)) - 1
    with all_tenants():
        assert JobLogTally.objects.get().dropped_lines == 4 * log_buffer.MAX_BUFFERED_LINES - stored


def test_lines_beyond_the_buffer_are_counted(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_buffer, "MAX_BUFFERED_LINES", 3)
    set_processor(lambda context: [context.log(f"line {n}") for n in range(10)] and None)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert messages_of(job) == [
        "line 0",
        "line 1",
        "line 2",
        "7 lines dropped: the job logged faster than they could be written",
    ]


def test_database_outage_loses_no_line_and_fails_no_job(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = log_buffer.append_job_logs, []

    def away_at_first(writes: Any) -> Any:
        calls.append(writes)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return real(writes)

    monkeypatch.setattr(log_buffer, "append_job_logs", away_at_first)
    monkeypatch.setattr(job_log, "SAFE_POINT_SECONDS", 0.0)

    def process(context: JobContext) -> None:
        context.log("one")
        context.should_yield()
        context.log("two")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert messages_of(job) == ["one", "two"]
    assert len(calls) == 2


def test_lost_commit_answer_writes_no_line_twice(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = log_buffer.append_job_logs, []

    def lost_answer(writes: Any) -> Any:
        calls.append(writes)
        room = real(writes)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return room

    monkeypatch.setattr(log_buffer, "append_job_logs", lost_answer)
    monkeypatch.setattr(job_log, "SAFE_POINT_SECONDS", 0.0)

    def process(context: JobContext) -> None:
        context.log("one")
        context.should_yield()
        context.log("two")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert messages_of(job) == ["one", "two"]


def test_changed_log_level_applies_to_the_running_job(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "SAFE_POINT_SECONDS", 0.0)

    def process(context: JobContext) -> None:
        context.log("too fine", level="debug")
        context.should_yield()
        change_settings(tenant=acme, values={"jobs.log_level": "debug"})
        context.log("fine enough", level="debug")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert messages_of(job) == ["fine enough"]


def test_lines_are_written_without_a_thread(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))
    set_processor(lambda context: context.log("kept"))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert messages_of(job) == ["kept"]


def test_lines_below_the_tenants_log_level_are_not_stored(acme: Tenant, run: Run, set_processor: Follow) -> None:
    change_settings(tenant=acme, values={"jobs.log_level": "warning"})
    set_processor(
        lambda context: [context.log(level, level=level) for level in ("debug", "info", "warning", "error")] and None
    )
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert messages_of(job) == ["warning", "error"]


def test_logging_of_the_plug_in_is_stored_in_the_job_log(acme: Tenant, run: Run, set_processor: Follow) -> None:
    own = logging.getLogger(f"{__package__}.parser")
    strange = logging.getLogger("another.package")

    def process(context: JobContext) -> None:
        own.warning("page %d is empty", 3)
        strange.warning("not ours")
        in_context, outside = copy_context(), threading.Thread(target=own.warning, args=("a stray thread",))
        inside = threading.Thread(target=in_context.run, args=(own.warning, "a thread of the job"))
        for thread in (inside, outside):
            thread.start()
            thread.join()

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert lines_of(job) == [
        ("warning", "page 3 is empty", {"logger": own.name}),
        ("warning", "a thread of the job", {"logger": own.name}),
    ]
    own.warning("after the job")
    assert len(lines_of(job)) == 2


def test_lines_are_visible_only_to_their_tenant(acme: Tenant, globex: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(lambda context: context.log("secret plan"))
    (job,) = submit(acme, kind="scripted")
    run(job)
    with tenant_context(globex):
        assert not JobLog._base_manager.exists()
        assert not JobLogTally._base_manager.exists()
    with tenant_context(acme):
        assert JobLog.objects.count() == 1
