"""Jobs from submission to end, on real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import redis
from celery import current_app
from kombu import Connection
from rest_framework.test import APIClient

from scheduling.jobs.cancellation import cancel_job
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import event_names, executions_of, fetch, submit, wait_for
from tests.acceptance.processes import eventually
from tests.checks import faults_of

pytestmark = pytest.mark.core


def test_job_posted_over_http_completes(
    platform: Platform, acme: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    client = api_client(acme)
    answer = client.post("/api/v1/jobs/", {"kind": "sleep", "payload": {"seconds": 0.1}}, format="json")
    assert answer.status_code == 201
    address = f"/api/v1/jobs/{answer.json()['id']}/"
    job = eventually(lambda: (shown := client.get(address).json())["state"] == "completed" and shown)
    assert job["result"] == {"slept_seconds": 0.1}
    assert faults_of("ledger") == []


def test_each_step_of_a_job_stores_an_event(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "noop")
    wait_for(job, "completed")
    assert event_names(job) == ["job.submitted", "job.dispatched", "execution.started", "execution.completed"]


def test_transient_error_is_retried_until_success(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "fail", {"times": 2})
    job = wait_for(job, "completed")
    assert job.attempt == 2
    assert job.result == {"succeeded_at_attempt": 3}
    assert [execution.outcome for execution in executions_of(job)] == ["failed", "failed", "completed"]


def test_exhausted_retries_end_in_one_dead_letter(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "fail", {"message": "no luck"}, max_retries=2)
    job = wait_for(job, "discarded")
    assert job.attempt == 3
    with all_tenants():
        letter = DeadLetter.objects.get(job_id=job.pk)
    assert (letter.reason, letter.error_type, letter.error_message) == ("attempts_exhausted", "asked_for", "no luck")


def test_permanent_error_is_a_dead_letter_without_retry(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "fail", {"how": "permanent"})
    job = wait_for(job, "discarded")
    assert job.attempt == 1
    with all_tenants():
        assert DeadLetter.objects.get(job_id=job.pk).reason == "permanent_error"


def test_cancelled_running_job_stops_at_its_next_safe_point(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "sleep", {"seconds": 300})
    wait_for(job, "executing")
    with tenant_context(acme):
        cancel_job(job_id=job.pk, reason="not needed any more")
    job = wait_for(job, "cancelled")
    assert [execution.outcome for execution in executions_of(job)] == ["cancelled"]
    assert (job.attempt, job.crash_count) == (0, 0)


def test_job_beyond_its_timeout_fails_as_timed_out(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "spin", {"seconds": 300}, max_retries=0)
    job = wait_for(job, "discarded")
    assert [execution.outcome for execution in executions_of(job)] == ["timed_out"]
    assert (job.attempt, job.crash_count, job.error_type) == (1, 0, "timed_out")


def test_running_job_past_its_deadline_is_discarded(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "sleep", {"seconds": 300}, deadline=datetime.now(UTC) + timedelta(seconds=4))
    wait_for(job, "executing")
    job = wait_for(job, "discarded")
    assert job.error_type == "deadline_passed"
    assert job.attempt == 0


def test_job_that_kills_its_worker_three_times_is_quarantined(platform: Platform, acme: Tenant) -> None:
    (killer,) = submit(acme, "crash")
    others = submit(acme, "sleep", *[{"seconds": 0.2}] * 6)
    killer = wait_for(killer, "quarantined")
    assert (killer.attempt, killer.crash_count) == (0, 3)
    for other in others:
        wait_for(other, "completed")
        assert fetch(other).crash_count == 0


def test_processor_that_exits_its_process_counts_as_a_crash(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "fail", {"how": "exit"})
    job = wait_for(job, "quarantined")
    assert [execution.outcome for execution in executions_of(job)] == ["crashed"] * 3


@pytest.mark.parametrize(
    ("task", "body"),
    [
        # Arguments that no dispatcher sends, then unknown ids and tokens.
        ("scheduling.execute", [[], {}, {}]),
        ("scheduling.execute", [["not a list", "not a token"], {}, {}]),
        ("scheduling.execute", [[[str(uuid4())], "not a token"], {}, {}]),
        ("scheduling.execute", [[[None, 7], str(uuid4())], {}, {}]),
        ("scheduling.execute", [[[str(uuid4())], str(uuid4())], {"tenant": "globex"}, {}]),
        ("scheduling.execute", [[[str(uuid4())], str(uuid4())], {}, {}]),
        ("scheduling.execute", "no body at all"),
        ("scheduling.execute", [[], {}, {}, {}, {}]),
        ("scheduling.no_such_task", [[], {}, {}]),
        ("celery.map", [[{"task": "scheduling.execute"}, []], {}, {}]),
    ],
)
def test_malformed_message_leaves_the_worker_alive(
    platform: Platform, acme: Tenant, acceptance_broker_url: str, task: str, body: object
) -> None:
    send_raw(acceptance_broker_url, "tasks_team", task, json.dumps(body))
    (job,) = submit(acme, "noop")
    wait_for(job, "completed")
    assert platform.worker is not None
    assert platform.worker.is_running


@pytest.mark.parametrize("task", ["scheduling.no_such_task", "celery.map"])
def test_message_not_from_dispatcher_is_logged(
    platform: Platform, acme: Tenant, acceptance_broker_url: str, task: str
) -> None:
    worker = platform.worker
    assert worker is not None
    send_raw(acceptance_broker_url, "tasks_team", task, json.dumps([[], {}, {}]))
    with redis.Redis.from_url(acceptance_broker_url) as client:
        client.lpush("tasks_team", "rubbish")
    (job,) = submit(acme, "noop")
    wait_for(job, "completed")
    # One line per reason and minute, with the count.
    reasons = ("message.refused", "unknown task", "unreadable")
    eventually(lambda: all(word in worker.log for word in reasons), what="both are logged")


@pytest.mark.parametrize("task", ["scheduling.submit", "scheduling.run_upkeep", "scheduling.execute"])
def test_message_without_signature_changes_nothing(
    platform: Platform, acme: Tenant, acceptance_broker_url: str, task: str
) -> None:
    worker = platform.worker
    assert worker is not None
    send_raw(acceptance_broker_url, "tasks_team", task, json.dumps([[], {"tenant": acme.slug, "kind": "noop"}, {}]))
    (job,) = submit(acme, "noop")
    wait_for(job, "completed")
    eventually(lambda: "unsigned" in worker.log, what="it is logged")
    with tenant_context(acme):
        assert list(Job.objects.values_list("pk", flat=True)) == [job.pk]


def test_invalid_json_leaves_the_worker_alive(platform: Platform, acme: Tenant, acceptance_broker_url: str) -> None:
    send_raw(acceptance_broker_url, "tasks_team", "scheduling.execute", "\x00{]")
    (job,) = submit(acme, "noop")
    wait_for(job, "completed")


def test_entry_that_is_not_a_message_leaves_the_worker_alive(
    platform: Platform, acme: Tenant, acceptance_broker_url: str
) -> None:
    with redis.Redis.from_url(acceptance_broker_url) as client:
        client.lpush("tasks_team", "rubbish", '{"body": 7}', "[]")
    (job,) = submit(acme, "noop")
    wait_for(job, "completed")
    assert platform.worker is not None
    assert platform.worker.is_running


def send_raw(broker_url: str, queue: str, task: str, body: str) -> None:
    """Put an arbitrary message into a queue, as any client of the broker can."""
    with Connection(broker_url) as connection, connection.SimpleQueue(current_app.amqp.queues[queue]) as simple:
        simple.put(
            body,
            headers={"task": task, "id": str(uuid4()), "lang": "py", "timelimit": "soon", "stamped_headers": 5},
            content_type="application/json",
            content_encoding="utf-8",
            serializer=None,
        )
