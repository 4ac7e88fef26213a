"""Routing rules that balance over pools, and the trial of a rule before a submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.fleet.queue_consumers import measure_queues
from scheduling.models import FairShareNode, Job, Queue, QueueStanding, RoutingRule, Worker
from scheduling.topology.service import create_routing_rule, update_routing_rule
from scheduling.worker.preloading import kinds_served
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.plain_values import plain_only

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def balance(how: str, weights: Mapping[int, int]) -> RoutingRule:
    return create_routing_rule(values={"position": 1, "kind": "noop", "balance": how}, targets=weights)


def spread(jobs: list[Job]) -> Counter[str]:
    with all_tenants():
        return Counter(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("queue__name", flat=True))


def test_weighted_rule_splits_a_batch_by_its_weights(acme: Tenant, east_and_west: tuple[Queue, Queue]) -> None:
    east, west = east_and_west
    balance("weighted", {east.pk: 1, west.pk: 3})
    measure_queues()
    found = spread(submit(acme, 200))
    assert found["east"] == pytest.approx(50, abs=4)
    assert found["west"] == pytest.approx(150, abs=4)


def test_weighted_rule_splits_single_submissions_by_its_weights(
    acme: Tenant, east_and_west: tuple[Queue, Queue]
) -> None:
    east, west = east_and_west
    balance("weighted", {east.pk: 1, west.pk: 1})
    measure_queues()
    found = spread([job for _ in range(60) for job in submit(acme)])
    assert min(found["east"], found["west"]) >= 12  # fails by chance with p < 10⁻⁶


def test_pool_without_live_workers_gets_no_jobs(acme: Tenant, east_and_west: tuple[Queue, Queue]) -> None:
    east, west = east_and_west
    balance("weighted", {east.pk: 9, west.pk: 1})
    with all_tenants():
        Worker.objects.filter(pool=east.pool).update(status=Worker.Status.STOPPED)
    measure_queues()
    assert spread(submit(acme, 20)) == {"west": 20}


def test_least_loaded_pool_gets_the_jobs_until_both_are_even(
    acme: Tenant, globex: Tenant, east_and_west: tuple[Queue, Queue]
) -> None:
    east, west = east_and_west
    balance("least_loaded", {east.pk: 1, west.pk: 1})
    with all_tenants():
        FairShareNode.objects.create(tenant=globex, queue=east, waiting=40, is_runnable=True, estimate_us=1_000_000)
    measure_queues()
    assert spread(submit(acme, 30)) == {"west": 30}
    assert spread(submit(acme, 20)) == {"east": 5, "west": 15}


@plain_only
def test_loads_are_read_once_and_not_for_each_job(acme: Tenant, east_and_west: tuple[Queue, Queue]) -> None:
    east, west = east_and_west
    balance("least_loaded", {east.pk: 1, west.pk: 1})
    measure_queues()
    submit(acme, 1)
    with CaptureQueriesContext(
        connection,
    ) as few:
        submit(acme, 2)
    with CaptureQueriesContext(connection) as many:
        submit(acme, 200)
    assert len(many) <= len(few)
    assert not any("queue_standing" in (query["sql"] or "") for query in many.captured_queries)


def test_work_is_measured_only_for_queues_of_balancing_rules(
    globex: Tenant, east_and_west: tuple[Queue, Queue]
) -> None:
    east, west = east_and_west
    with all_tenants():
        FairShareNode.objects.create(tenant=globex, queue=east, waiting=40, is_runnable=True)
    measure_queues()
    assert QueueStanding.objects.get(queue=east).work_us == 0
    balance("least_loaded", {east.pk: 1, west.pk: 1})
    measure_queues()
    assert QueueStanding.objects.get(queue=east).work_us == 40_000_000
    with all_tenants():
        FairShareNode.objects.update(waiting=50)
    measure_queues(sums_work=False)
    assert QueueStanding.objects.get(queue=east).work_us == 40_000_000
    measure_queues()
    assert QueueStanding.objects.get(queue=east).work_us == 50_000_000


def test_rule_is_saved_with_its_queues_and_one_audit_entry(east_and_west: tuple[Queue, Queue]) -> None:
    east, west = east_and_west
    rule = balance("weighted", {east.pk: 1, west.pk: 3})
    update_routing_rule(rule=rule, changes={}, targets={west.pk: 1})
    with all_tenants():
        created, changed = AuditLogEntry.objects.filter(action__startswith="routing_rule").order_by("id")
    assert created.after["targets"] == {"east": 1, "west": 3}
    assert (changed.before, changed.after) == ({"targets": {"east": 1, "west": 3}}, {"targets": {"west": 1}})
    assert "noop" in kinds_served(west.pool_id)
    assert kinds_served(east.pool_id) == []


@pytest.mark.parametrize(
    ("values", "targets"),
    [
        ({"balance": "weighted"}, {}),
        ({"balance": "weighted", "by_tier": True}, {1: 1}),
        ({"by_tier": True}, {1: 1}),
        ({"balance": "weighted"}, {1: 0}),
        ({"balance": "fastest"}, {1: 1}),
        ({}, {}),
    ],
)
def test_invalid_rule_is_refused(values: dict[str, Any], targets: dict[int, int]) -> None:
    with pytest.raises(FieldInvalidError):
        create_routing_rule(values={"position": 1, "kind": "noop", **values}, targets=targets)
    assert not RoutingRule.objects.filter(position=1).exists()


def test_rule_is_tried_without_a_submission(staff: Any, east_and_west: tuple[Queue, Queue]) -> None:
    east, west = east_and_west
    condition = [{"field": "pages", "op": "gt", "value": 100}, {"field": "kind", "op": "exists", "value": True}]
    create_routing_rule(values={"position": 2, "kind": "noop", "condition": condition, "queue": east})
    create_routing_rule(values={"position": 3, "kind": "noop", "balance": "weighted"}, targets={west.pk: 1})
    client = APIClient()
    client.force_login(staff)

    def ask(**question: Any) -> Any:
        return client.post("/api/v1/routing-rules/test/", question, format="json")

    answer = ask(kind="noop", tier="team", payload={"pages": 101}).json()
    assert (answer["queue"], answer["choices"], answer["refusal"]) == ("west", ["west"], "")
    assert [(row["position"], row["matches"], row["because"]) for row in answer["rules"]] == [
        (2, False, "the payload does not meet kind exists True"),
        (3, True, ""),
    ]
    assert ask(kind="noop", tier="team", payload={"pages": 101, "kind": "x"}).json()["queue"] == "east"
    refused = ask(kind="noop", tier="team", queue="dataset").json()
    assert (refused["queue"], refused["refusal"]) == (None, "queue_not_allowed")
    others = ask(kind="rag_pipeline", tier="sandbox").json()
    assert others["rules"][0]["because"] == "it is for the kind noop"
    assert others["rules"][-2]["because"] == "it is for the tier professional"
    assert (ask(kind="noop", tier="none").status_code, ask(kind="noop", tier="none").json()["code"]) == (
        422,
        "tier_unknown",
    )
    with all_tenants():
        assert Job.objects.count() == 0
