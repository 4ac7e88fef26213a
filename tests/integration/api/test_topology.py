"""Queues and pools added over the API."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.topology.service import create_queue, create_worker_pool
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.api.test_access import API, assert_problem


def test_staff_adds_a_pool_and_a_queue_in_it(staff_api: APIClient, acme: Tenant) -> None:
    made = staff_api.post(API + "pools/", {"name": "far", "rate_milli": 10, "resource_class": "io", "reason": "x"})
    facts = {"name": "far", "memory_mib": 1024, "resource_class": "io", "rate_milli": 10}
    assert (made.status_code, facts.items() <= made.json().items()) == (201, True)
    assert staff_api.get(made["Location"]).json() == made.json()
    body = {"name": "slow", "pool": "far", "weight": 3, "cap": None, "expected_seconds": 2, "reason": "scans"}
    # X-Tenant, which other calls need, changes nothing here.
    added = staff_api.post(API + "queues/", body, headers={"X-Tenant": "acme"})
    assert added.status_code == 201
    facts = {"pool": "far", "weight": 3, "cap": None, "expected_seconds": 2.0}
    assert facts.items() <= added.json().items()
    assert staff_api.get(added["Location"]).json() == added.json()
    assert "slow" in [row["name"] for row in staff_api.get(API + "queues/").json()["results"]]
    with all_tenants():
        assert AuditLogEntry.objects.get(action="queue.created").reason == "scans"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"name": "new"}, "invalid"),
        ({"name": "new", "pool": "default", "wight": 2}, "invalid"),
        ({"name": "new", "pool": "default", "weight": "2"}, "invalid"),
        ({"name": "new", "pool": "default", "expected_seconds": "2"}, "invalid"),
        ({"name": "new", "pool": "default", "expected_seconds": True}, "invalid"),
        ({"name": "new", "pool": "default", "weight": 0}, "field_invalid"),
        ({"name": "new", "pool": "default", "cap": 2**40}, "field_invalid"),
        ({"name": "new", "pool": "default", "resource_class": "gpu"}, "field_invalid"),
        ({"name": "new", "pool": "nope"}, "field_invalid"),
        ({"name": "New", "pool": "default"}, "field_invalid"),
        ({"name": "dataset", "pool": "default"}, "field_invalid"),
    ],
)
def test_invalid_queue_is_refused(staff_api: APIClient, body: dict[str, Any], code: str) -> None:
    assert_problem(staff_api.post(API + "queues/", body), 422, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"name": "new", "slots": 2}, "invalid"),
        ({"name": "new", "memory_mib": 300}, "field_invalid"),
        ({"name": "new", "rate_milli": 0}, "field_invalid"),
        ({"name": "new", "resource_class": "gpu"}, "field_invalid"),
        ({"name": "a.b"}, "field_invalid"),
        ({"name": "default"}, "field_invalid"),
    ],
)
def test_invalid_pool_is_refused(staff_api: APIClient, body: dict[str, Any], code: str) -> None:
    assert_problem(staff_api.post(API + "pools/", body), 422, code)


def test_tenant_cannot_add_queues_or_pools(acme_api: APIClient, viewer_api: APIClient) -> None:
    for client in (acme_api, viewer_api):
        assert client.post(API + "queues/", {"name": "new", "pool": "default"}).status_code == 403
        assert client.post(API + "pools/", {"name": "new"}).status_code == 403


def test_staff_sets_the_queue_for_asynchronous_kinds_of_a_tier(staff_api: APIClient) -> None:
    create_worker_pool(name="waits", values={"resource_class": "io"})
    create_queue(name="coroutines", pool="waits")
    url = API + "cfs-plans/cloud/"
    shown = staff_api.get(url).json()["tiers"]
    assert all("io_queue" in row for row in shown)
    body = {"tiers": [{**row, "io_queue": "coroutines"} for row in shown], "reason": "they wait"}
    changed = staff_api.patch(url, body).json()
    assert {row["io_queue"] for row in changed["tiers"]} == {"coroutines"}
    kept = [{name: row[name] for name in ("tier", "queue", "weight")} for row in shown]
    assert {row["io_queue"] for row in staff_api.patch(url, {"tiers": kept, "reason": "x"}).json()["tiers"]} == {None}
    wrong = [{**row, "io_queue": "nope"} for row in shown]
    assert staff_api.patch(url, {"tiers": wrong, "reason": "x"}).status_code == 422
