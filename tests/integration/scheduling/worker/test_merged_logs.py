"""Logs of merged messages: written together before the settlement, without losses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import DataError, OperationalError

from scheduling.execution import settling
from scheduling.execution.logs import buffer as log_buffer
from scheduling.execution.logs import job_log
from scheduling.execution.logs.service import LogWrite
from scheduling.execution.message import execute
from scheduling.kit.base import JobContext
from scheduling.models import Job, JobLog, JobLogTally
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Merge, RunMerged

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]
type Writes = list[list[LogWrite]]
type Append = Callable[[Sequence[LogWrite]], Any]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Return the writes to the database, statement by statement."""
    written: Writes = []

    def append(real: Append, given: Sequence[LogWrite]) -> Any:
        written.append(list(given))
        return real(given)

    wrap_both(monkeypatch, append)
    return written


def wrap_both(monkeypatch: pytest.MonkeyPatch, append: Callable[[Append, Sequence[LogWrite]], Any]) -> None:
    """Wrap both ways of writing: in a transaction of its own, and in the settlement's."""
    for name in ("append_job_logs", "append_job_logs_here"):
        monkeypatch.setattr(log_buffer, name, partial(append, getattr(log_buffer, name)))


def messages_of(job: Job) -> list[str]:
    with all_tenants():
        return list(JobLog.objects.filter(job_id=job.pk).order_by("id").values_list("message", flat=True))


def log_each(acme: Tenant, globex: Tenant) -> list[Job]:
    return [submit(tenant, kind="scripted", payload={"n": n})[0] for n, tenant in enumerate((acme, globex, acme))]


def test_lines_of_a_message_are_written_by_one_statement(
    acme: Tenant, globex: Tenant, run_merged: RunMerged, set_processor: Follow, writes: Writes
) -> None:
    threads: list[str] = []

    def process(context: JobContext) -> None:
        for part in ("first", "second")[: context.payload["n"]]:
            context.log(f"{part} of {context.payload['n']}")
        threads.extend(thread.name for thread in threading.enumerate())

    set_processor(process)
    done = run_merged(log_each(acme, globex))
    assert [messages_of(job) for job in done] == [[], ["first of 1"], ["first of 2", "second of 2"]]
    # A job without lines is not included.
    assert [[write.job_id for write in given] for given in writes] == [[done[1].pk, done[2].pk]]
    assert "job-log" not in threads
    with all_tenants():
        assert set(JobLog.objects.values_list("job_id", "tenant_id")) == {(job.pk, job.tenant_id) for job in done[1:]}


def test_lines_are_visible_once_a_member_has_ended(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write both in one transaction, or the lines first if that fails."""
    monkeypatch.setattr(settling, "drained", _refused)
    seen: list[list[list[str]]] = []
    together = settling.settle_together

    def look(settlements: Any) -> None:
        seen.append([messages_of(job) for job in jobs])
        together(settlements)

    monkeypatch.setattr(settling, "settle_together", look)
    set_processor(lambda context: context.log("done"))
    jobs = submit(acme, 2, kind="scripted")
    assert [job.state for job in run_merged(jobs)] == ["completed"] * 2
    assert seen == [[["done"], ["done"]]]


@contextmanager
def _refused(*_: Any, **__: Any) -> Iterator[None]:
    raise DataError("not together")
    yield


def test_lines_and_settlement_are_one_transaction(
    acme: Tenant, globex: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    for name in ("all_tenants", "tenant_context"):
        monkeypatch.setattr(f"scheduling.execution.logs.service.{name}", lambda *_, name=name: begun.append(name))
    together: list[Any] = []
    monkeypatch.setattr(settling, "settle_together", together.append)
    set_processor(lambda context: context.log("done"))
    done = run_merged(log_each(acme, globex))
    assert [messages_of(job) for job in done] == [["done"]] * 3
    assert [job.state for job in done] == ["completed"] * 3
    assert begun == together == []


def test_lines_survive_a_failed_settlement_once(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail the settlement after the lines were written in its transaction."""
    real, calls = settling.settle_executions, []

    def fails_at_first(settlements: Any, **options: Any) -> Any:
        calls.append(options)
        if len(calls) == 1:
            with all_tenants():
                options["before"]()
                raise DataError("a value that cannot be stored")
        return real(settlements, **options)

    monkeypatch.setattr(settling, "settle_executions", fails_at_first)
    set_processor(lambda context: context.log("here"))
    done = run_merged(submit(acme, 2, kind="scripted"))
    assert [job.state for job in done] == ["completed"] * 2
    assert [messages_of(job) for job in done] == [["here"]] * 2
    assert [options["before"] is not None for options in calls] == [True, False]


def test_effects_see_the_line_logged_before_them(acme: Tenant, run_merged: RunMerged, set_processor: Follow) -> None:
    seen: list[int] = []

    def process(context: JobContext) -> None:
        context.log("done")
        context.in_settlement(lambda: seen.append(JobLog.objects.filter(job_id=context.job_id).count()))

    set_processor(process)
    run_merged(submit(acme, 2, kind="scripted"))
    assert seen == [1, 1]


def test_each_log_is_bounded_separately(
    acme: Tenant, globex: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling.execution.logs.service.MAX_LOG_BYTES", 300)

    def process(context: JobContext) -> None:
        for number in range(10 if context.payload["n"] == 1 else 1):
            context.log(f"line {number}")

    set_processor(process)
    done = run_merged(log_each(acme, globex))
    assert messages_of(done[0]) == messages_of(done[2]) == ["line 0"]
    kept = messages_of(done[1])
    assert kept[-1] == "log is full"
    with all_tenants():
        dropped = dict(JobLogTally.objects.values_list("job_id", "dropped_lines"))
    assert dropped == {done[0].pk: 0, done[1].pk: 10 - (len(kept) - 1), done[2].pk: 0}


def test_many_lines_are_written_before_the_end(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch, writes: Writes
) -> None:
    monkeypatch.setattr("scheduling.execution.merged_message.MAX_BUFFERED_LINES", 5)
    set_processor(lambda context: [context.log(f"{n}") for n in range(3)] and None)
    done = run_merged(submit(acme, 3, kind="scripted"))
    assert [len(given) for given in writes] == [2, 1]
    assert [messages_of(job) for job in done] == [["0", "1", "2"]] * 3


def test_lines_of_a_slow_member_are_visible_while_it_runs(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "FLUSH_SECONDS", 0.05)
    found: list[list[str]] = []

    def wait_for(job: Job, messages: list[str]) -> None:
        until = time.monotonic() + 20
        while messages_of(job) != messages:
            assert time.monotonic() < until, messages_of(job)
            time.sleep(0.01)
        found.append(messages)

    def process(context: JobContext) -> None:
        context.log("begun")
        if context.payload.get("is_slow"):
            # By the message's timer, and then by the log's own thread, without a safe point in between.
            wait_for(jobs[1], ["begun"])
            context.log("still here")
            wait_for(jobs[1], ["begun", "still here"])

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"is_slow": is_slow})[0] for is_slow in (False, True)]
    assert [job.state for job in run_merged(jobs)] == ["completed", "completed"]
    assert len(found) == 2
    assert messages_of(jobs[0]) == ["begun"]


def test_lines_survive_a_member_that_ends_its_process(
    acme: Tenant, local: LocalWorker, merge: Merge, set_processor: Follow
) -> None:
    def process(context: JobContext) -> None:
        context.log("here")
        if context.payload.get("is_last"):
            raise SystemExit(3)

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"is_last": is_last})[0] for is_last in (False, True)]
    execution_ids, token = merge(jobs)
    with pytest.raises(SystemExit):
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    assert [messages_of(job) for job in jobs] == [["here"], ["here"]]


def test_database_outage_loses_no_line(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Writes = []

    def away_at_first(real: Append, given: Sequence[LogWrite]) -> Any:
        calls.append(list(given))
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return real(given)

    wrap_both(monkeypatch, away_at_first)
    set_processor(lambda context: context.log("here"))
    done = run_merged(submit(acme, 2, kind="scripted"))
    assert [job.state for job in done] == ["completed"] * 2
    assert [messages_of(job) for job in done] == [["here"]] * 2


def test_refused_line_loses_no_lines_of_other_jobs(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refuse(real: Append, given: Sequence[LogWrite]) -> Any:
        if any(line.message == "odd" for write in given for line in write.lines):
            raise ValueError("out of range")
        return real(given)

    wrap_both(monkeypatch, refuse)
    set_processor(lambda context: context.log(context.payload["how"]))
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("even", "odd", "even")]
    assert [job.state for job in run_merged(jobs)] == ["completed"] * 3
    assert [messages_of(reload(job)) for job in jobs] == [["even"], [], ["even"]]
