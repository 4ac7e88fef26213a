"""Small jobs in one message, on real processes: dispatched, run, failed, killed, cancelled and handed back."""

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
from tests.acceptance.acts import executions_of, fetch, submit, wait_for, wait_for_all
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from tests.predictions import predict

pytestmark = pytest.mark.core


def messages_of(jobs: Sequence[Job]) -> list[list[dict[str, Any]]]:
    """The starts of merged executions, by message."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with all_tenants():
        events = JobEvent.objects.filter(job_id__in=[job.pk for job in jobs], name="execution.started")
        for data in events.values_list("data", flat=True):
            if "message" in data:
                found[data["message"]].append(data)
    return list(found.values())


def together(kind: str, *batches: tuple[Tenant, Sequence[dict[str, Any]]]) -> list[Job]:
    """Submit jobs that are predicted to take a millisecond, while nothing is dispatched."""
    predict(kind, 1_000)
    return [job for tenant, payloads in batches for job in submit(tenant, kind, *payloads)]


def outcomes_of(job: Job) -> list[str]:
    return [execution.outcome for execution in executions_of(job)]


@pytest.fixture(autouse=True)
def exact(platform: Platform) -> Any:
    """When all is over, ledger and counters agree with what they count."""
    yield
    eventually(lambda: faults_of("ledger") == [] and not faults_of("counters", "ready"), what="the counters are exact")


def test_no_op_jobs_of_many_tenants_travel_together_and_all_complete(
    platform: Platform, acme: Tenant, globex: Tenant, initech: Tenant
) -> None:
    jobs = together("noop", *((tenant, [{}] * 150) for tenant in (acme, globex, initech)))
    wait_for_all(jobs)
    assert [outcome for job in jobs for outcome in outcomes_of(job) if outcome != "returned"] == ["completed"] * 450
    assert max(len(message) for message in messages_of(jobs)) > 10


def test_a_member_that_fails_affects_no_other(platform: Platform, acme: Tenant) -> None:
    jobs = together("fail", (acme, [{"how": "permanent"}] + [{"times": 1}] * 10))
    wait_for(jobs[0], "discarded")
    wait_for_all(jobs[1:])
    assert {fetch(job).attempt for job in jobs} == {1}
    assert messages_of(jobs)


def test_the_member_that_kills_its_process_is_found_and_the_others_complete(platform: Platform, acme: Tenant) -> None:
    # The others crash with it at the first start only.
    culprit, *others = together("crash", (acme, [{}] + [{"times": 1}] * 8))
    wait_for_all(others)
    culprit = wait_for(culprit, "quarantined")
    assert culprit.crash_count == 3
    assert max(len(message) for message in messages_of([culprit, *others])) > 1
    for other in others:
        # Whoever was merged when it crashed is not blamed, and was alone when it ran again.
        assert (fetch(other).state, fetch(other).attempt) == ("completed", 0)
        assert outcomes_of(other)[-1] == "completed"
    merged = [job for job in (culprit, *others) if messages_of([job])]
    assert {fetch(job).crash_count for job in merged} <= {0, 3}


def test_a_member_that_ends_its_process_costs_the_others_nothing(platform: Platform, acme: Tenant) -> None:
    culprit, *others = together("fail", (acme, [{"how": "exit"}] + [{"times": 1}] * 8))
    wait_for_all(others)
    culprit = wait_for(culprit, "quarantined")
    assert (culprit.crash_count, {fetch(other).crash_count for other in others}) == (3, {0})


def test_who_has_not_begun_in_time_is_handed_back_and_runs_in_other_slots(platform: Platform, acme: Tenant) -> None:
    slow, *others = together("sleep", (acme, [{"seconds": 4}] + [{"seconds": 0}] * 6))
    wait_for_all(others)
    # Whatever shared a message with the slow one did not wait for its end.
    assert fetch(slow).state in ("executing", "completed")
    wait_for(slow, "completed")
    assert {(fetch(job).attempt, fetch(job).crash_count) for job in (slow, *others)} == {(0, 0)}
    (message,) = [data for message in messages_of([slow]) for data in message]
    assert message["size"] > 1
    assert "returned" in {outcome for other in others for outcome in outcomes_of(other)}


def test_a_member_is_cancelled_while_it_waits(platform: Platform, acme: Tenant) -> None:
    slow, unwanted, other = together("sleep", (acme, [{"seconds": 3}, {"seconds": 60}, {"seconds": 0}]))
    eventually(lambda: fetch(unwanted).state != "available", what="the message is out")
    with tenant_context(acme):
        cancel_job(job_id=unwanted.pk)
    wait_for(unwanted, "cancelled")
    wait_for_all([slow, other])


def test_killing_a_child_in_the_middle_of_messages_loses_nothing(platform: Platform, initech: Tenant) -> None:
    jobs = together("sleep", (initech, [{"seconds": 0.05}] * 120))
    assert platform.worker is not None
    for part in range(1, 4):
        eventually(lambda part=part: count_ended(jobs) >= part * 20, what="work goes on")
        for child in platform.worker.children():
            os.kill(child, signal.SIGKILL)
    wait_for_all(jobs)
    # Only who was alone in its process can have been blamed.
    assert all(fetch(job).crash_count <= 1 and fetch(job).attempt == 0 for job in jobs)


def test_a_worker_that_stops_in_the_middle_hands_back_what_has_not_run(platform: Platform, initech: Tenant) -> None:
    jobs = together("sleep", (initech, [{"seconds": 0.05}] * 60))
    eventually(lambda: count_ended(jobs) >= 5, what="work goes on")
    assert platform.worker is not None
    assert platform.worker.stop() == 0
    platform.worker = platform.start_worker()
    wait_for_all(jobs)
    assert {(fetch(job).attempt, fetch(job).crash_count) for job in jobs} == {(0, 0)}


def count_ended(jobs: Sequence[Job]) -> int:
    with all_tenants():
        return Job.objects.filter(pk__in=[job.pk for job in jobs], state="completed").count()
