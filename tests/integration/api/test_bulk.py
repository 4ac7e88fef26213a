"""Bulk submission: many jobs in one request."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, PlanLimit, Tenant

BULK = "/api/v1/jobs/bulk/"


def test_bulk_jobs_are_accepted_or_rejected_by_index(acme_api: APIClient) -> None:
    jobs: list[Any] = [
        {"kind": "noop"},
        {"kind": "nope"},
        {"kind": "sleep", "payload": {"seconds": 1}, "tags": ["x"]},
        {"kind": "noop", "tags": [7]},
        "noop",
        {"kind": "noop", "colour": "red"},
        {"kind": "noop", "queue": "pipeline"},
        {"kind": "noop", "payload": {"x": "x" * 256 * 1024}},
        None,
    ]
    answer = acme_api.post(BULK, {"jobs": jobs})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert [row["index"] for row in body["accepted"]] == [0, 2]
    assert [(row["index"], row["code"]) for row in body["rejected"]] == [
        (1, "kind_unknown"),
        (3, "invalid"),
        (4, "invalid"),
        (5, "invalid"),
        (6, "queue_not_allowed"),
        (7, "payload_too_large"),
        (8, "invalid"),
    ]
    assert body["rejected"][3]["detail"] == "colour: There is no such field."
    with all_tenants():
        assert {str(job.id) for job in Job.objects.all()} == {row["id"] for row in body["accepted"]}


def test_bulk_of_a_thousand_jobs_costs_as_many_statements_as_ten(acme: Tenant, acme_api: APIClient) -> None:
    with all_tenants():
        PlanLimit.objects.create(plan=acme.plan, key="submit_burst", value=2_000)
    costs = []
    for count in (1, 10, 1_000):
        with CaptureQueriesContext(connection) as queries:
            answer = acme_api.post(BULK, {"jobs": [{"kind": "noop"}] * count})
        assert len(answer.json()["accepted"]) == count
        costs.append(len(queries))
    # One more if the cached settings of the tenant have expired in between.
    assert costs[2] - costs[1] in (0, 1)
    with tenant_context(acme):
        assert AuditLogEntry.objects.filter(action="job.submitted").count() == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"jobs": []},
        {"jobs": {}},
        {"jobs": None},
        {"jobs": "noop"},
        {"jobs": [{"kind": "noop"}], "atomic": True},
        {"jobs": [{"kind": "noop"}] * 1_001},
    ],
)
def test_invalid_bulk_list_is_refused_whole(acme_api: APIClient, body: Any) -> None:
    answer = acme_api.post(BULK, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "field_invalid")
    with all_tenants():
        assert not Job.objects.exists()


def test_bulk_jobs_beyond_the_plans_limit_are_rejected_one_by_one(acme: Tenant, acme_api: APIClient) -> None:
    with all_tenants():
        acme.plan.max_waiting_jobs = 2
        acme.plan.save()
    body = acme_api.post(BULK, {"jobs": [{"kind": "noop"}] * 3}).json()
    assert [row["index"] for row in body["accepted"]] == [0, 1]
    assert [(row["index"], row["code"]) for row in body["rejected"]] == [(2, "quota_exceeded")]
