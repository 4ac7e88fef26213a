"""The kind `http_call` from submission to result, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.controls.service import CONTROLS
from scheduling.kit import registry
from scheduling.models import Circuit, ControlRule, DeadLetter, Execution, Job, JobEvent, JobLog
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.worker.conftest import Run
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server

pytestmark = pytest.mark.django_db(transaction=True)
JOBS = "/api/v1/jobs/"
SECRET = "Bearer-of-the-owners-own-affair"


@pytest.fixture(params=["prefork", "io"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


@pytest.fixture
def submit_call(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> Callable[..., Job]:
    client = api_client(acme)

    def submit(**payload: Any) -> Job:
        answer = client.post(JOBS, {"kind": "http_call", "payload": payload}, format="json")
        assert answer.status_code == 201, answer.content
        with all_tenants():
            return Job.objects.get(pk=answer.json()["id"])

    return submit


def test_answer_is_the_jobs_result(submit_call: Callable[..., Job], run: Run, server: WebServer) -> None:
    job = run(submit_call(url=f"{server.url}/hook", json={"a": 1}))
    assert (job.state, job.result["status"], job.result["body"]) == ("completed", 200, "hello")
    assert server.seen[0].headers["Idempotency-Key"] == str(job.pk)


def test_host_that_a_control_does_not_list_is_not_called(
    submit_call: Callable[..., Job], run: Run, server: WebServer, acme: Tenant
) -> None:
    values = {"name": "hosts", "checkpoint": "effect", "rule": "egress_hosts", "parameters": {"hosts": ["example.com"]}}
    with tenant_context(acme):
        row = CONTROLS.save(ControlRule(), values)
    job = run(submit_call(url=server.url))
    assert (job.state, job.error_type) == ("discarded", "host_refused")
    assert not server.seen
    with all_tenants():
        (entry,) = AuditLogEntry.objects.filter(action="control.failed", target_id=str(job.pk))
        assert (entry.after["hosts"], entry.tenant_id) == (["127.0.0.1"], acme.pk)
    with tenant_context(acme):
        CONTROLS.save(row, {"parameters": {"hosts": ["127.0.0.1"]}})
    assert run(submit_call(url=server.url)).state == "completed"


def test_second_attempt_sends_the_same_idempotency_key(
    submit_call: Callable[..., Job], run: Run, server: WebServer
) -> None:
    server.answers["/"] = (503, {"Retry-After": "0"}, b"")
    job = run(submit_call(url=server.url))
    assert (job.state, job.error_type) == ("retryable", "http_503")
    server.answers.clear()
    assert run(job).state == "completed"
    assert len({seen.headers["Idempotency-Key"] for seen in server.seen}) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("1800", 1_800),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(hours=3), usegmt=True), 10_800),
        ("999999999", 86_400),  # a delay is at most one day
        ("soon", 60),  # the kind's own backoff
    ],
)
def test_retry_after_header_sets_the_delay(
    submit_call: Callable[..., Job], run: Run, server: WebServer, retry_after: Any, seconds: float
) -> None:
    text = retry_after if isinstance(retry_after, str) else retry_after()
    server.answers["/"] = (429, {"Retry-After": text}, b"")
    job = run(submit_call(url=server.url))
    with all_tenants():
        event = JobEvent.objects.get(job_id=job.pk, name="execution.failed")
    assert job.state == "retryable"
    assert event.data["retry_in_seconds"] == pytest.approx(seconds, rel=0.11)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address_refused"),
        ("http://127.0.0.1:6379/", "address_refused"),
        ("http://0x7f.1/", "url_refused"),
        ("http://１２７.0.0.1/", "url_refused"),
        ("http://user:pw@example.com/", "url_refused"),
    ],
)
def test_internal_address_is_a_dead_letter_with_its_reason(
    submit_call: Callable[..., Job], run: Run, url: str, code: str
) -> None:
    job = run(submit_call(url=url))
    with all_tenants():
        letter = DeadLetter.objects.get(job_id=job.pk)
    assert (job.state, job.error_type, letter.reason) == ("discarded", code, "permanent_error")
    assert job.error_message


def test_client_error_is_a_dead_letter_at_once(submit_call: Callable[..., Job], run: Run, server: WebServer) -> None:
    server.answers["/"] = (404, {}, b"")
    job = run(submit_call(url=server.url))
    assert (job.state, job.error_type) == ("discarded", "http_404")


def test_secrets_of_a_call_are_neither_shown_nor_stored_elsewhere(
    submit_call: Callable[..., Job], run: Run, server: WebServer, acme_user: User
) -> None:
    server.answers["/"] = (500, {"Set-Cookie": SECRET}, SECRET.encode())
    job = run(submit_call(url=f"{server.url}/?key={SECRET}", headers={"Authorization": SECRET, "X-Own": SECRET}))
    with all_tenants():
        rows = [
            *Execution.objects.filter(job_id=job.pk).values(),
            *JobLog.objects.filter(job_id=job.pk).values(),
            *JobEvent.objects.filter(job_id=job.pk).values(),
            *AuditLogEntry.objects.values(),
            *Job.objects.filter(pk=job.pk).values("error_message", "result", "checkpoint"),
        ]
    assert len(rows) > 3
    assert SECRET not in str(rows)
    console = Client()
    console.force_login(acme_user)
    for page in ("scheduling_job_change", "scheduling_job_body", "scheduling_job_log"):
        assert SECRET not in console.get(reverse(f"admin:{page}", args=[job.pk])).content.decode()


def test_invalid_call_is_refused_at_submission(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> None:
    payload = {"url": "http://api.example.com", "headers": {"Host": "127.0.0.1"}}
    answer = api_client(acme).post(JOBS, {"kind": "http_call", "payload": payload}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "payload_invalid")


def test_http_call_is_listed_and_routed_as_any_kind(staff: User) -> None:
    client = APIClient()
    client.force_login(staff)
    assert "http_call" in registry.kinds()
    assert client.get("/api/v1/kinds/http_call/").status_code == 200
    paused = client.post("/api/v1/kinds/http_call/pause/", {"reason": "a drill"}, format="json")
    assert paused.status_code == 200, paused.content
    trial = {"kind": "http_call", "tier": "team", "payload": {"url": "http://api.example.com"}}
    assert client.post("/api/v1/routing-rules/test/", trial, format="json").status_code == 200


def test_failing_server_holds_only_its_own_calls(
    submit_call: Callable[..., Job], run: Run, server: WebServer, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=2)
    server.answers["/"] = (503, {}, b"")
    failed = [run(submit_call(url=server.url)) for _ in range(2)]
    with web_server() as other:
        change_platform_settings(
            OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{port}" for port in (server.port, other.port)]
        )
        refused = run(submit_call(url=server.url))
        elsewhere = run(submit_call(url=other.url))
    with all_tenants():
        breakers = dict(Circuit.objects.values_list("dependency", "state"))
    assert breakers == {f"127.0.0.1:{server.port}": "open"}
    assert [job.state for job in failed] == ["retryable", "retryable"]
    # The job that found it open used no attempt, and jobs for the other server were not held.
    assert (refused.state, refused.attempt, len(server.seen)) == ("available", 0, 2)
    assert elsewhere.state == "completed"
