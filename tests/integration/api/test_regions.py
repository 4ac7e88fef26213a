"""Regions over the API: labels of tenants, pools and rules, and the refusal of a job."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tenants.models import Tenant
from tests.integration.api.test_access import API, assert_problem

pytestmark = pytest.mark.django_db


def test_job_of_pinned_tenant_without_a_queue_in_its_regions_is_refused(
    acme: Tenant, staff_api: APIClient, acme_api: APIClient
) -> None:
    change = {"home_region": "eu", "allowed_regions": ["eu", "us"], "reason": "contract"}
    answer = staff_api.patch(f"{API}tenants/acme/", change, format="json")
    assert (answer.status_code, answer.json()["allowed_regions"]) == (200, ["eu", "us"])
    own = acme_api.get(f"{API}tenants/me/").json()
    assert (own["home_region"], own["allowed_regions"]) == ("eu", ["eu", "us"])
    refused = acme_api.post(f"{API}jobs/", {"kind": "noop", "payload": {}}, format="json")
    assert_problem(refused, 422, "region_not_allowed")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"allowed_regions": ["EU"]}, "field_invalid"),
        ({"allowed_regions": "eu"}, "invalid"),
        ({"home_region": "a" * 41}, "invalid"),
        ({"home_region": 1}, "invalid"),
    ],
)
def test_invalid_regions_of_a_tenant_are_refused(
    acme: Tenant, staff_api: APIClient, change: dict[str, Any], code: str
) -> None:
    assert_problem(staff_api.patch(f"{API}tenants/acme/", change, format="json"), 422, code)


def test_region_of_pool_rule_and_tier_row_are_set(db: None, staff_api: APIClient) -> None:
    made = staff_api.post(f"{API}pools/", {"name": "far", "region": "eu"}, format="json")
    assert (made.status_code, made.json()["region"]) == (201, "eu")
    changed = staff_api.patch(f"{API}pools/far/", {"region": "eu-west"}, format="json")
    assert changed.json()["region"] == "eu-west"
    staff_api.post(f"{API}queues/", {"name": "far", "pool": "far"}, format="json")
    rule = {"position": 1, "kind": "noop", "region": "eu", "balance": "nearest", "targets": {"far": 1}}
    added = staff_api.post(f"{API}routing-rules/", rule, format="json")
    assert (added.status_code, added.json()["region"], added.json()["balance"]) == (201, "eu", "nearest")
    question = {"kind": "noop", "tier": "team", "home_region": "eu", "allowed_regions": ["eu-west"]}
    assert staff_api.post(f"{API}routing-rules/test/", question, format="json").json()["queue"] == "far"
    elsewhere = question | {"allowed_regions": ["us"]}
    answer = staff_api.post(f"{API}routing-rules/test/", elsewhere, format="json").json()
    assert (answer["queue"], answer["refusal"]) == (None, "region_not_allowed")
    plan = staff_api.get(f"{API}cfs-plans/cloud/").json()
    tiers = [*plan["tiers"], {"tier": "team", "region": "eu", "queue": "far", "weight": 3}]
    rows = staff_api.patch(f"{API}cfs-plans/cloud/", {"tiers": tiers}, format="json").json()["tiers"]
    assert [row["queue"] for row in rows if row["region"] == "eu"] == ["far"]
