"""Prefetch lists on the real tables: which jobs share one, what it counts, and what travels alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models.functions import Now

from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.conf import LIST_WORK_US, MERGE_BELOW_US
from scheduling.dispatch.republish import republish_unstarted
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import start_executions
from scheduling.fleet.workers import Registration
from scheduling.kit import registry
from scheduling.models import Circuit, FairShareNode, Job, JobReady, LiveExecution, Queue, TenantCapacity, Worker
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant, update_tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Tick, age, submit
from tests.predictions import predict
from workloads.diagnostics.processor import NoopProcessor

pytestmark = pytest.mark.django_db

JOB_US = 5_000
MOST = LIST_WORK_US // JOB_US


@pytest.fixture(autouse=True)
def unmerged(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no-op jobs opt out of merging, predict 5 ms for them, and assert exact counters after each test."""
    monkeypatch.setattr(NoopProcessor, "is_mergeable", False)
    registry.reset()
    predict("noop", JOB_US)
    yield
    assert faults_of("ledger") == []
    assert faults_of("counters", "ready") == []
    registry.reset()


@pytest.fixture
def two_slots(worker: Registration) -> Registration:
    with all_tenants():
        Worker.objects.update(slots=2)
    return worker


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Hint]:
    """Return the hints that were published."""
    hints: list[Hint] = []

    def publish(given: Sequence[Hint]) -> Sequence[Hint]:
        hints.extend(given)
        return ()

    monkeypatch.setattr(publishing, "publish", publish)
    return hints


def lists() -> list[list[LiveExecution]]:
    """Return what is in flight, by message."""
    found: dict[UUID, list[LiveExecution]] = defaultdict(list)
    with all_tenants():
        for live in LiveExecution.objects.order_by("id"):
            found[live.message_id].append(live)
    return list(found.values())


def know_estimates() -> None:
    """Store the predictions as estimates, as the end of a tenant's first job does."""
    with all_tenants():
        FairShareNode.objects.update(estimate_us=JOB_US)


def dispatch(tenants: list[Tenant], jobs: int, tick: Tick) -> list[list[LiveExecution]]:
    for tenant in tenants:
        submit(tenant, jobs)
    know_estimates()
    while tick().has_more:
        pass
    return lists()


def in_flight_of(tenant: Tenant) -> int:
    with all_tenants():
        return TenantCapacity.objects.get(tenant=tenant).in_flight


def change_ready(**columns: Any) -> None:
    with all_tenants():
        JobReady.objects.update(**columns)


def test_jobs_fill_a_list_in_each_slot(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    found = dispatch([acme], 20, tick)
    assert [len(one) for one in found] == [MOST, MOST]
    assert {member.is_list for one in found for member in one} == {True}
    assert in_flight_of(acme) == 2


def test_few_jobs_are_spread_over_the_slots(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    assert [len(one) for one in dispatch([acme], 4, tick)] == [2, 2]


def test_list_has_jobs_of_several_tenants(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        Worker.objects.update(slots=1)
    team = create_tenant(slug="team-0", plan="team")
    (members,) = dispatch([acme, team], MOST, tick)
    assert {member.tenant_id for member in members} == {acme.pk, team.pk}
    assert len(members) == MOST
    assert (in_flight_of(acme), in_flight_of(team)) == (1, 1)


def test_long_jobs_travel_alone(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    predict("noop", LIST_WORK_US)
    assert [len(one) for one in dispatch([acme], 4, tick)] == [1, 1]


def test_merged_message_is_no_list(
    acme: Tenant, tick: Tick, two_slots: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoopProcessor, "is_mergeable", True)
    registry.reset()
    predict("noop", MERGE_BELOW_US - 1)
    (members,) = dispatch([acme], 5, tick)
    assert {member.is_list for member in members} == {False}


def test_kind_travels_alone(acme: Tenant, tick: Tick, two_slots: Registration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoopProcessor, "travels_alone", True)
    registry.reset()
    assert [len(one) for one in dispatch([acme], 4, tick)] == [1, 1]


def test_jobs_of_a_rated_queue_travel_alone(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    with all_tenants():
        Queue.objects.update(dispatches_per_minute=6_000, dispatch_burst=10)
    assert [len(one) for one in dispatch([acme], 4, tick)] == [1, 1]


def test_job_set_apart_travels_alone(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    submit(acme, 4)
    change_ready(merge_disabled=True)
    know_estimates()
    while tick().has_more:
        pass
    assert [len(one) for one in lists()] == [1, 1]


def test_probe_of_a_breaker_travels_alone(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        Worker.objects.update(slots=1)
    submit(acme, 4)
    know_estimates()
    with all_tenants():
        probe = Job.objects.order_by("rank", "id").first()
        assert probe is not None
        Circuit.objects.create(
            tenant=acme,
            kind="noop",
            dependency="api",
            holds_all=False,
            failures=3,
            fingerprint="f",
            error_type="Timeout",
            error_message="no answer",
            state="half_open",
            probe_job_id=probe.pk,
            probe_tenant_id=acme.pk,
            until=Now() + timedelta(hours=1),
            counted_from=Now(),
        )
    while tick().has_more:
        pass
    ((only,),) = lists()
    assert only.job_id == probe.pk


def test_tenant_at_its_cap_has_one_list(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    update_tenant(tenant=acme, changes={"max_concurrency": 1})
    assert [len(one) for one in dispatch([acme], 20, tick)] == [MOST]
    assert in_flight_of(acme) == 1
    assert tick().dispatched == 0


def test_queue_at_its_cap_has_one_list(acme: Tenant, tick: Tick, two_slots: Registration) -> None:
    with all_tenants():
        Queue.objects.update(cap=1)
    assert [len(one) for one in dispatch([acme], 20, tick)] == [MOST]
    assert tick().dispatched == 0


def test_place_is_free_once_the_last_job_of_a_list_has_ended(acme: Tenant, tick: Tick, worker: Registration) -> None:
    update_tenant(tenant=acme, changes={"max_concurrency": 1})
    (members,) = dispatch([acme], 20, tick)
    started = start_executions(
        execution_ids=[one.id for one in members], token=members[0].token, worker_id=worker.worker_id
    )
    assert [one.has_begun for one in started] == [True] + [False] * (MOST - 1)
    settle([Settlement.completed(started[0].execution_id, started[0].fence, None)])
    assert tick().dispatched == 0
    assert in_flight_of(acme) == 1
    settle([settlement_builders.returned(one.execution_id, one.fence, cause="a test") for one in started[1:]])
    # How many depends on what the first has cost.
    assert tick().dispatched > 0
    assert in_flight_of(acme) == 1


def test_list_that_was_not_received_is_published_again_in_one_message(
    acme: Tenant, tick: Tick, two_slots: Registration, published: list[Hint]
) -> None:
    dispatch([acme], 20, tick)
    before = [list(hint.execution_ids) for hint in published]
    assert [len(ids) for ids in before] == [MOST, MOST]
    published.clear()
    age(LiveExecution, published_at=16)
    assert republish_unstarted() == 2
    assert [list(hint.execution_ids) for hint in published] == before


def test_refused_message_returns_its_whole_list(
    acme: Tenant, tick: Tick, two_slots: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "publish", lambda hints: hints)
    submit(acme, 4)
    know_estimates()
    assert tick().unpublished == 4
    assert lists() == []
    monkeypatch.setattr(publishing, "publish", lambda hints: ())
    assert tick().dispatched == 4
    assert in_flight_of(acme) == 2
