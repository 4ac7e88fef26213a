"""Correlation: the rows of a trace, request, batch or job, in order, of the reader's tenants only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling import tracing
from scheduling.correlation import queries
from scheduling.correlation.queries import Correlation, CorrelationKey, RequestTimeMissingError, correlate, key_of
from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LogWrite, append_job_logs
from scheduling.jobs.batches.service import create_batch
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job, LiveExecution
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, fail, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PERSON = Actor(kind="user", id="7", label="alice", request_id="request-7")


class _Tracer:
    """A tracer within one trace, without spans."""

    def span(self, name: str, **options: object) -> AbstractContextManager[None]:
        return nullcontext()

    def current_traceparent(self) -> str:
        return f"00-{TRACE}-00f067aa0ba902b7-01"


@contextmanager
def within_trace() -> Iterator[None]:
    tracing.install(_Tracer())  # type: ignore[arg-type] # only this method is called
    try:
        yield
    finally:
        tracing.install(None)


def log(job: Job, message: str, level: str = "info") -> None:
    append_job_logs([LogWrite(job.tenant_id, job.pk, uuid7(), attempt=1, lines=[make_line(message, level, {})])])


def read(tenant: Tenant, key: CorrelationKey, value: object, **options: object) -> Correlation:
    options = {"with_logs": True, "with_audit": True, **options}
    with tenant_context(tenant):
        return correlate(key, str(value), **options)  # type: ignore[arg-type]


def kinds_of(found: Correlation) -> set[str]:
    return {row.what for row in found.rows}


def test_trace_has_the_jobs_of_the_reader_only(acme: Tenant, globex: Tenant, pool: object) -> None:
    with within_trace():
        (own,), (foreign,) = submit(acme), submit(globex)
    submit(acme)
    log(own, "begun")
    found = read(acme, CorrelationKey.TRACE, TRACE)
    assert set(found.jobs) == {own.pk}
    assert {row.job_id for row in found.rows} == {own.pk}
    assert kinds_of(found) == {"job", "event", "log", "audit"}
    with all_tenants():
        assert set(correlate(CorrelationKey.TRACE, TRACE, with_logs=True, with_audit=True).jobs) == {own.pk, foreign.pk}


def test_rows_are_in_the_order_of_time_with_every_attempt(acme: Tenant, tick: Tick, start: Start) -> None:
    (job,) = submit(acme, kind="noop")
    tick()
    fail(start, job)
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(run_at=timezone.now())
    tick()
    log(job, "tried once")
    found = read(acme, CorrelationKey.JOB, job.pk)
    moments = [row.at for row in found.rows]
    assert moments == sorted(moments)
    first = next(row for row in found.rows if row.what == "attempt")
    assert (first.title, first.state) == ("#1", "failed")
    assert None not in (first.started_at, first.until)
    assert "ValueError" in first.text


def test_attempt_in_flight_has_no_end(acme: Tenant, tick: Tick, worker: object) -> None:
    (job,) = submit(acme)
    tick()
    with all_tenants():
        assert LiveExecution.objects.filter(job_id=job.pk).exists()
    (attempt,) = [row for row in read(acme, CorrelationKey.JOB, job.pk).rows if row.what == "attempt"]
    assert (attempt.state, attempt.until) == ("dispatched", None)


def test_job_comes_with_ancestors_and_descendants(acme: Tenant) -> None:
    family = submit(acme, 4)
    with tenant_context(acme):
        for parent, child in ((0, 1), (1, 2), (1, 3)):
            Job.objects.filter(pk=family[child].pk).update(parent_id=family[parent].pk)
    assert set(read(acme, CorrelationKey.JOB, family[1].pk).jobs) == {job.pk for job in family}
    assert set(read(acme, CorrelationKey.JOB, family[3].pk).jobs) == {family[n].pk for n in (0, 1, 3)}


def test_batch_has_its_jobs(acme: Tenant) -> None:
    with tenant_context(acme):
        batch = create_batch(tenant=acme, label="night", kind="noop", total=2)
        jobs = [submit_job(tenant=acme, request=JobRequest(kind="noop"), batch=batch).job for _ in range(2)]
        assert key_of(str(batch.pk)) is CorrelationKey.BATCH
    submit(acme)
    assert set(read(acme, CorrelationKey.BATCH, batch.pk).jobs) == {job.pk for job in jobs}


def test_request_has_the_jobs_that_it_submitted(acme: Tenant, globex: Tenant) -> None:
    with acting_as(PERSON):
        jobs = submit(acme, 3)
    submit(acme)
    found = read(acme, CorrelationKey.REQUEST, "request-7")
    assert set(found.jobs) == {job.pk for job in jobs}
    (entry,) = [row for row in found.rows if row.what == "audit"]
    assert entry.title == "job.submitted"
    assert "alice" in entry.text
    with pytest.raises(RequestTimeMissingError):
        read(globex, CorrelationKey.REQUEST, "request-7")
    assert read(globex, CorrelationKey.REQUEST, "request-7", at=timezone.now()).rows == []
    late = read(acme, CorrelationKey.REQUEST, "request-7", at=timezone.now() + timedelta(hours=1))
    assert late.jobs == {}


def test_log_lines_and_audit_entries_need_their_permissions(acme: Tenant) -> None:
    (job,) = submit(acme)
    log(job, "secret of the log")
    found = read(acme, CorrelationKey.JOB, job.pk, with_logs=False, with_audit=False)
    assert kinds_of(found) == {"job", "event"}
    log(job, "worse", level="error")
    lines = [row.title for row in read(acme, CorrelationKey.JOB, job.pk, level=40).rows if row.what == "log"]
    assert lines == ["worse"]


def test_more_jobs_than_the_limit_are_stated(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_JOBS", 2)
    with within_trace():
        submit(acme, 3)
    found = read(acme, CorrelationKey.TRACE, TRACE)
    assert (len(found.jobs), found.is_cut) == (2, True)


def test_trace_is_found_by_its_index(acme: Tenant) -> None:
    with within_trace():
        (job,) = submit(acme)
    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = Job.objects.filter(trace_id=Job.objects.get(pk=job.pk).trace_id).explain()
        assert key_of(TRACE) is CorrelationKey.TRACE
        assert key_of(str(job.pk)) is CorrelationKey.JOB
        assert key_of("request-7") is CorrelationKey.REQUEST
    assert "job_trace" in plan


def test_api_answers_rows_and_refuses_two_keys(api_client: Callable[[Tenant], APIClient], acme: Tenant) -> None:
    with within_trace():
        (job,) = submit(acme)
    acme_api = api_client(acme)
    answer = acme_api.get(f"/api/v1/correlation/?trace={TRACE}").json()
    assert answer["is_cut"] is False
    assert {row["job"] for row in answer["results"] if row["what"] != "audit"} == {str(job.pk)}
    assert acme_api.get(f"/api/v1/correlation/?trace={TRACE}&job={job.pk}").status_code == 422
    assert acme_api.get("/api/v1/correlation/").status_code == 422
    missing = acme_api.get("/api/v1/correlation/?request=nothing")
    assert (missing.status_code, missing.json()["code"]) == (422, "request_time_missing")


def test_page_draws_the_rows_and_other_pages_link_to_it(
    client: Client, acme_user: User, acme: Tenant, globex: Tenant
) -> None:
    client.force_login(acme_user)
    with within_trace():
        (job,), (foreign,) = submit(acme), submit(globex)
    log(job, "read the file")
    page = client.get("/admin/correlation/", {"q": TRACE}).content.decode()
    for shown in ("read the file", str(job.pk), "console-gantt-bar"):
        assert shown in page
    assert str(foreign.pk) not in page
    for query in ({"q": "nothing"}, {"job": "no-id"}, {"request": "x", "at": "2026-13-01"}, {}, {"batch": str(job.pk)}):
        assert client.get("/admin/correlation/", query).status_code == 200
    of_job = client.get(f"/admin/scheduling/job/{job.pk}/change/").content.decode()
    assert f"?trace={TRACE}" in of_job
    assert f"?job={job.pk}" in of_job
    with acting_as(PERSON):
        submit(acme)
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(request_id="request-7")
    assert (
        "?request=request-7&amp;at=" in client.get(f"/admin/tenants/auditlogentry/{entry.pk}/change/").content.decode()
    )
