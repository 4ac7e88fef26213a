"""Queues and pools added over the API."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.models import WorkerPool
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
        ({"name": "new", "pool": "default", "needs": ["gpu"]}, "field_invalid"),
        ({"name": "new", "pool": "default", "needs": ["tape"]}, "field_invalid"),
        ({"name": "new", "pool": "default", "needs": "cpu"}, "invalid"),
        ({"name": "new", "pool": "default", "needs": ["cpu"] * 5}, "invalid"),
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
        ({"name": "new", "offers": ["tape"]}, "field_invalid"),
        ({"name": "new", "offers": [1]}, "invalid"),
        ({"name": "new", "resource_class": "io", "offers": ["io", "cpu"]}, "field_invalid"),
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


def test_staff_changes_a_queue_and_a_pool(staff_api: APIClient, acme: Tenant) -> None:
    changed = staff_api.patch(API + "queues/dataset/", {"weight": 7, "cap": 3, "reason": "launch"})
    assert (changed.status_code, changed.json()["weight"], changed.json()["cap"]) == (200, 7, 3)
    assert staff_api.get(API + "queues/dataset/").json()["weight"] == 7
    assert staff_api.patch(API + "pools/default/", {"memory_mib": 512}).json()["memory_mib"] == 512
    for body in ({"weight": 0}, {"name": "other"}, {"pool": "default"}):
        assert staff_api.patch(API + "queues/dataset/", body).status_code == 422
    assert staff_api.patch(API + "queues/nope/", {"weight": 1}).status_code == 404
    assert staff_api.patch(API + "pools/nope/", {"rate_milli": 1}).status_code == 404
    with all_tenants():
        assert AuditLogEntry.objects.get(action="queue.changed").reason == "launch"


def test_a_pools_edition_ignores_what_its_workers_announce(staff_api: APIClient) -> None:
    before = staff_api.get(API + "pools/default/")["ETag"]
    with all_tenants():
        WorkerPool.objects.filter(name="default").update(kinds=["noop"])
    assert staff_api.get(API + "pools/default/")["ETag"] == before


def test_staff_adds_and_changes_routing_rules(staff_api: APIClient, acme: Tenant) -> None:
    url = API + "routing-rules/"
    body = {"position": 5, "kind": "noop", "tier": "team", "queue": "dataset", "reason": "trial"}
    made = staff_api.post(url, body)
    assert made.status_code == 201, made.content
    facts = {"position": 5, "kind": "noop", "tier": "team", "queue": "dataset", "targets": {}, "is_active": True}
    assert facts.items() <= made.json().items()
    change = {"queue": None, "balance": "weighted", "targets": {"dataset": 1, "pipeline": 3}}
    changed = staff_api.patch(f"{url}5/", change, headers={"If-Match": made["ETag"]})
    assert (changed.status_code, changed.json()["targets"]) == (200, {"dataset": 1, "pipeline": 3})
    spread = staff_api.patch(f"{url}5/", {"targets": {"dataset": 2}})
    assert spread["ETag"] != changed["ETag"], "the queues are part of the edition"
    assert staff_api.patch(f"{url}5/", {"kind": "x"}, headers={"If-Match": changed["ETag"]}).status_code == 412
    moved = staff_api.patch(f"{url}5/", {"position": 6, "condition": {"field": "pages", "op": "gt", "value": 9}})
    assert moved.json()["condition"]["op"] == "gt"
    assert staff_api.get(f"{url}5/").status_code == 404
    last = 2**31 - 1
    assert staff_api.patch(f"{url}6/", {"position": last}).status_code == 200
    assert staff_api.get(f"{url}{last}/").json()["position"] == last
    assert staff_api.get(f"{url}{last + 1}/").status_code == 404
    with all_tenants():
        assert AuditLogEntry.objects.get(action="routing_rule.created").reason == "trial"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"position": 5},
        {"position": 2**31, "queue": "dataset"},
        {"position": 10, "queue": "dataset"},
        {"position": 5, "queue": "dataset", "by_tier": True},
        {"position": 5, "queue": "dataset", "condition": {"op": "gt"}},
        {"position": 5, "queue": "dataset", "tier": "nope"},
        {"position": 5, "queue": "nope"},
        {"position": 5, "balance": "weighted", "targets": {"nope": 1}},
        {"position": 5, "balance": "weighted"},
        {"position": 5, "balance": "weighted", "targets": {"dataset": 0}},
        {"position": 5, "balance": "sideways", "targets": {"dataset": 1}},
    ],
)
def test_invalid_routing_rule_is_refused(staff_api: APIClient, body: dict[str, Any]) -> None:
    assert staff_api.post(API + "routing-rules/", body).status_code == 422


def test_staff_adds_plans_tiers_and_cfs_plans(staff_api: APIClient, acme: Tenant) -> None:
    tier = staff_api.post(API + "tiers/", {"slug": "gold", "name": "Gold", "rank": 99})
    assert tier.status_code == 201, tier.content
    assert_problem(staff_api.post(API + "tiers/", {"slug": "gold", "name": "G", "rank": 98}), 409, "slug_taken")
    assert staff_api.patch(API + "tiers/gold/", {"rank": 97}, headers={"If-Match": tier["ETag"]}).json()["rank"] == 97
    limits = {"max_waiting_jobs": 9, "submits_per_minute": 9, "worker_seconds_per_month": 9}
    plan = staff_api.post(API + "plans/", {"slug": "gold", "name": "Gold", "tier": "gold", **limits, "reason": "new"})
    assert (plan.status_code, plan.json()["version"]) == (201, 1), plan.content
    assert staff_api.get(API + "plans/gold/versions/").json()["results"][0]["reason"] == "new"
    again = staff_api.post(API + "plans/", {"slug": "gold", "name": "Gold", "tier": "gold", **limits})
    assert_problem(again, 409, "slug_taken")
    wrong = staff_api.post(API + "plans/", {"slug": "x", "name": "x", "tier": "nope", **limits})
    assert_problem(wrong, 422, "plan_content_invalid")
    night = {"name": "night", "tiers": [{"tier": "team", "queue": "dataset", "weight": 2}], "reason": "quiet"}
    made = staff_api.post(API + "cfs-plans/", night)
    assert made.status_code == 201, made.content
    assert (made.status_code, made.json()["is_active"], made.json()["version"]) == (201, False, 1), made.content
    assert staff_api.post(API + "cfs-plans/", night).status_code == 422


def test_job_is_suspended_and_resumed(acme_api: APIClient, viewer_api: APIClient, acme: Tenant) -> None:
    url = f"{API}jobs/{acme_api.post(API + 'jobs/', {'kind': 'noop'}).json()['id']}/"
    assert viewer_api.post(f"{url}suspend/", {}).status_code == 403
    assert acme_api.post(f"{url}suspend/", {"reason": "data is late"}).json()["state"] == "suspended"
    assert_problem(acme_api.post(f"{url}suspend/", {}), 409, "invalid_transition")
    assert acme_api.post(f"{url}resume/", {}).json()["state"] == "available"
