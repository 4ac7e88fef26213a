"""Concurrent requests, each on its own connection with a real commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from scheduling.bulk.turns import open_operations, take_turn
from scheduling.models import BulkOperation, DeadLetter, Job, JobEvent
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.job_helpers import Start, Tick, fail, submit

pytestmark = pytest.mark.django_db(transaction=True)
JOBS = "/api/v1/jobs/"
CALLERS = 16


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Start all calls together, each in a thread with its own connection."""
    start = Barrier(len(calls), timeout=30)

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait()
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def take_all_turns() -> None:
    """Run the turns of bulk operations as a dispatcher does, until none is open."""
    while opened := open_operations():
        for operation in opened:
            take_turn(operation)


def clone(client: APIClient) -> APIClient:
    copy = APIClient()
    copy.credentials(**client._credentials)
    return copy


def test_concurrent_submissions_with_one_key_create_one_job(
    transactional_db: None, acme: Tenant, acme_api: APIClient
) -> None:
    def post() -> Any:
        return clone(acme_api).post(JOBS, {"kind": "noop"}, headers={"Idempotency-Key": "once"})

    answers = at_once([post] * CALLERS)
    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) <= {200, 201, 409}
    assert counts[201] == 1
    (job_id,) = {answer.json()["id"] for answer in answers if answer.status_code in (200, 201)}
    busy = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in busy} <= {"idempotency_in_flight"}
    with all_tenants():
        assert str(Job.objects.get().id) == job_id


def test_concurrent_cancellations_cancel_a_job_once(transactional_db: None, acme: Tenant, acme_api: APIClient) -> None:
    (job,) = submit(acme)
    answers = at_once([lambda: clone(acme_api).post(f"{JOBS}{job.id}/cancel/")] * CALLERS)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: CALLERS - 1}
    with all_tenants():
        assert JobEvent.objects.filter(job_id=job.id, name="job.cancelled").count() == 1


def test_concurrent_requeues_of_a_dead_letter_requeue_it_once(
    transactional_db: None, acme: Tenant, acme_api: APIClient, dead_job: Job
) -> None:
    with all_tenants():
        letter = DeadLetter.objects.get(job_id=dead_job.id)
    path = f"/api/v1/dead-letters/{letter.id}/requeue/"
    answers = at_once([lambda: clone(acme_api).post(path)] * CALLERS)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: CALLERS - 1}
    with all_tenants():
        assert Job.objects.filter(parent=dead_job).count() == 1


def test_concurrent_requeues_by_filter_requeue_each_dead_letter_once(
    transactional_db: None, acme: Tenant, acme_api: APIClient, tick: Tick, start: Start
) -> None:
    jobs = submit(acme, 4)
    tick()
    for job in jobs:
        fail(start, job, is_permanent=True)
    body = {"filter": "kind:noop requeued:no", "operation": "requeue", "reason": "mended"}
    answers = at_once([lambda: clone(acme_api).post("/api/v1/bulk-operations/", body, format="json")] * 8)
    assert {answer.status_code for answer in answers} == {201}
    at_once([take_all_turns] * 4)
    with all_tenants():
        assert sum(BulkOperation.objects.values_list("changed", flat=True)) == len(jobs)
    with all_tenants():
        assert Counter(Job.objects.filter(parent__in=jobs).values_list("parent", flat=True)) == {
            job.pk: 1 for job in jobs
        }


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("tiers/", {"slug": "gold", "name": "Gold", "rank": 77}),
        ("routing-rules/", {"position": 77, "queue": "tasks_team"}),
        ("cfs-plans/", {"name": "twin"}),
        (
            "plans/",
            {"slug": "twin", "name": "Twin", "tier": "team", "max_waiting_jobs": 1}
            | {"submits_per_minute": 1, "worker_seconds_per_month": 1},
        ),
    ],
)
def test_concurrent_additions_of_one_row_add_one(
    transactional_db: None, staff: User, address: str, body: dict[str, Any]
) -> None:
    def post() -> Any:
        return session_of(staff, raise_request_exception=False).post(f"/api/v1/{address}", body, format="json")

    statuses = Counter(answer.status_code for answer in at_once([post] * 4))
    assert statuses[201] == 1
    assert statuses.keys() <= {201, 409, 422}
