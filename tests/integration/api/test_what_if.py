"""The what-if over the API: permissions, refusals, answers."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.fleet.workers import Registration
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Plan, Tenant
from tests.integration.api.test_access import API, assert_problem
from tests.integration.scheduling.job_helpers import submit

ADDRESS = API + "cfs-plans/what-if/"


def test_what_if_of_staff_changes_nothing(staff_api: APIClient, acme: Tenant, worker: Registration) -> None:
    submit(acme, 3)
    with all_tenants():
        entries = AuditLogEntry.objects.count()
    body = {
        "plans": {"team": {"weight": 7, "max_concurrency": 1}},
        "tenants": {"acme": {"factor": 1.5, "max_concurrency": None}},
        "queues": {"dataset": {"weight": 2, "cap": None}},
        "tiers": {"team": {"weight": 9}},
        "strategy": "nop",
        "granularity_seconds": 5,
        "slots": 2,
        "pool": "default",
    }
    answered = staff_api.post(ADDRESS, body, headers={"X-Tenant": "acme"})
    assert answered.status_code == 200, answered.json()
    answer = answered.json()
    assert [line["name"] for line in answer["plans"]] == ["team"]
    assert {"no_arrivals", "few_starts"} & {note["code"] for note in answer["notes"]}
    with all_tenants():
        assert Plan.objects.get(slug="team").weight == 2
        assert AuditLogEntry.objects.count() == entries


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slot": 3}, "slot"),
        ({"slots": "3"}, "slots"),
        ({"slots": -1}, "slots"),
        ({"slots": 1_000_000_000}, "slots"),
        ({"plans": {"team": {}}}, "plans"),
        ({"plans": {"team": {"weight": 0}}}, "plans"),
        ({"plans": {"team": {"wieght": 1}}}, "plans"),
        ({"plans": {"team": 3}}, "plans"),
        ({"plans": []}, "plans"),
        ({"tenants": {"acme": {"factor": True}}}, "tenants"),
        ({"tenants": {"acme": {"factor": 0}}}, "tenants"),
        ({"queues": {f"q{number}": {"weight": 1} for number in range(300)}}, "queues"),
        ({"strategy": "best"}, "strategy"),
        ({"granularity_seconds": 1.5}, "granularity_seconds"),
    ],
)
def test_invalid_what_if_is_refused_with_its_field(staff_api: APIClient, body: dict[str, Any], field: str) -> None:
    refused = staff_api.post(ADDRESS, body)
    assert_problem(refused, 422, "invalid")
    assert refused.json()["errors"][0]["field"].startswith(field)


def test_what_if_with_an_unknown_name_is_refused(staff_api: APIClient) -> None:
    refused = staff_api.post(ADDRESS, {"plans": {"gold": {"weight": 2}}})
    assert_problem(refused, 422, "what_if_name_unknown")
    assert refused.json()["errors"][0]["field"] == "plan_weights"
    assert_problem(staff_api.post(ADDRESS, {"pool": "moon"}), 404, "not_found")


def test_what_if_is_forbidden_for_tenants(acme_api: APIClient, viewer_api: APIClient) -> None:
    for client in (acme_api, viewer_api):
        assert client.post(ADDRESS, {"slots": 3}).status_code == 403
