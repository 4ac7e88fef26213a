"""Small jobs in one message, on real processes: completed, failed, killed, cancelled and returned."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job, JobEvent
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, fetch, submit, wait_for, wait_for_all
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from tests.predictions import predict

pytestmark = pytest.mark.core


def messages_of(jobs: Sequence[Job]) -> list[list[dict[str, Any]]]:
    """Return the starts of merged executions, by message."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with all_tenants():
        events = JobEvent.objects.filter(job_id__in=[job.pk for job in jobs], name="execution.started")
        for data in events.values_list("data", flat=True):
            if "message" in data:
                found[data["message"]].append(data)
    return list(found.values())


def submit_small_jobs(kind: str, *batches: tuple[Tenant, Sequence[dict[str, Any]]]) -> list[Job]:
    """Submit jobs with a predicted cost of a millisecond, while nothing is dispatched."""
    predict(kind, 1_000)
    return [job for tenant, payloads in batches for job in submit(tenant, kind, *payloads)]


def outcomes_of(job: Job) -> list[str]:
    return [execution.outcome for execution in executions_of(job)]


@pytest.fixture(autouse=True)
def check_counters(platform: Platform) -> Any:
    """Verify afterwards that ledger and counters are consistent."""
    yield
    eventually(lambda: faults_of("ledger") == [] and not faults_of("counters", "ready"), what="the counters are exact")


def test_no_op_jobs_of_many_tenants_share_messages_and_complete(
    platform: Platform, acme: Tenant, globex: Tenant, initech: Tenant
) -> None:
    jobs = submit_small_jobs("noop", *((tenant, [{}] * 150) for tenant in (acme, globex, initech)))
    wait_for_all(jobs)
    assert [outcome for job in jobs for outcome in outcomes_of(job) if outcome != "returned"] == ["completed"] * 450
    assert max(len(message) for message in messages_of(jobs)) > 10


def test_failing_job_of_merged_message_leaves_others_unaffected(platform: Platform, acme: Tenant) -> None:
    jobs = submit_small_jobs("fail", (acme, [{"how": "permanent"}] + [{"times": 1}] * 10))
    wait_for(jobs[0], "discarded")
    wait_for_all(jobs[1:])
    assert {fetch(job).attempt for job in jobs} == {1}
    assert messages_of(jobs)


def test_crashing_job_of_merged_message_is_quarantined_and_others_complete(platform: Platform, acme: Tenant) -> None:
    # The others crash with it at the first start only.
    culprit, *others = submit_small_jobs("crash", (acme, [{}] + [{"times": 1}] * 8))
    wait_for_all(others)
    culprit = wait_for(culprit, "quarantined")
    assert culprit.crash_count == 3
    assert max(len(message) for message in messages_of([culprit, *others])) > 1
    for other in others:
        # A crash in a merged message is not counted for the job, which ran alone afterwards.
        assert (fetch(other).state, fetch(other).attempt) == ("completed", 0)
        assert outcomes_of(other)[-1] == "completed"
    merged = [job for job in (culprit, *others) if messages_of([job])]
    assert {fetch(job).crash_count for job in merged} <= {0, 3}


def test_exiting_job_of_merged_message_costs_others_no_crash(platform: Platform, acme: Tenant) -> None:
    culprit, *others = submit_small_jobs("fail", (acme, [{"how": "exit"}] + [{"times": 1}] * 8))
    wait_for_all(others)
    culprit = wait_for(culprit, "quarantined")
    assert (culprit.crash_count, {fetch(other).crash_count for other in others}) == (3, {0})


def test_late_jobs_of_merged_message_are_returned_and_run_elsewhere(platform: Platform, acme: Tenant) -> None:
    slow, *others = submit_small_jobs("sleep", (acme, [{"seconds": 4}] + [{"seconds": 0}] * 6))
    wait_for_all(others)
    # Jobs in a message with the slow one did not wait for its end.
    assert fetch(slow).state in ("executing", "completed")
    wait_for(slow, "completed")
    assert {(fetch(job).attempt, fetch(job).crash_count) for job in (slow, *others)} == {(0, 0)}
    (message,) = [data for message in messages_of([slow]) for data in message]
    assert message["size"] > 1
    assert "returned" in {outcome for other in others for outcome in outcomes_of(other)}


def test_waiting_job_of_merged_message_is_cancelled(platform: Platform, acme: Tenant) -> None:
    slow, unwanted, other = submit_small_jobs("sleep", (acme, [{"seconds": 3}, {"seconds": 60}, {"seconds": 0}]))
    eventually(lambda: fetch(unwanted).state != "available", what="the message is sent")
    with tenant_context(acme):
        cancel_job(job_id=unwanted.pk)
    wait_for(unwanted, "cancelled")
    wait_for_all([slow, other])


def test_killed_child_in_mid_message_loses_no_job(platform: Platform, initech: Tenant) -> None:
    jobs = submit_small_jobs("sleep", (initech, [{"seconds": 0.05}] * 120))
    assert platform.worker is not None
    for part in range(1, 4):
        eventually(lambda part=part: count_ended(jobs) >= part * 20, what="more jobs complete")
        for child in platform.worker.children():
            os.kill(child, signal.SIGKILL)
    wait_for_all(jobs)
    # A crash is counted only for a job that was alone in its process.
    assert all(fetch(job).crash_count <= 1 and fetch(job).attempt == 0 for job in jobs)


def test_stopping_worker_returns_jobs_that_have_not_run(platform: Platform, initech: Tenant) -> None:
    jobs = submit_small_jobs("sleep", (initech, [{"seconds": 0.05}] * 60))
    eventually(lambda: count_ended(jobs) >= 5, what="more jobs complete")
    assert platform.worker is not None
    assert platform.worker.stop() == 0
    platform.worker = platform.start_worker()
    wait_for_all(jobs)
    assert {(fetch(job).attempt, fetch(job).crash_count) for job in jobs} == {(0, 0)}


def count_ended(jobs: Sequence[Job]) -> int:
    with all_tenants():
        return Job.objects.filter(pk__in=[job.pk for job in jobs], state="completed").count()
