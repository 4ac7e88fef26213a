"""Tenant runs: one row from the request to the end, continued in turns, and separate from the platform's runs."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from scheduling import signals
from scheduling.celery import publishing, tasks
from scheduling.exceptions import BrokerUnavailableError, UpkeepBusyError, UpkeepUnknownError
from scheduling.models import TenantUpkeepRun, UpkeepRun
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep
from scheduling.upkeep.runs import run_upkeep
from scheduling.upkeep.status import find_upkeep_warnings
from scheduling.upkeep.tenant_runs import RequestedRun, request_tenant_run, run_tenant_upkeep
from tenants.access.permissions import Permission
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.upkeep.conftest import Plant

pytestmark = pytest.mark.django_db(transaction=True)

ALICE = Actor(kind="user", id="7", label="alice")
Outcome = TenantUpkeepRun.Outcome


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, UUID | None]]:
    """Return the runs that are published instead of being sent."""
    sent: list[tuple[str, UUID | None]] = []

    def publish(name: str, tenant_id: UUID | None = None) -> None:
        sent.append((name, tenant_id))

    monkeypatch.setattr(publishing, "publish_upkeep", publish)
    monkeypatch.setattr(tasks, "publish_upkeep", publish)
    monkeypatch.setattr(tasks, "check_connection", lambda: None)
    return sent


@pytest.fixture
def steps(plant: Plant, published: list[tuple[str, UUID | None]]) -> list[tuple[UUID | None, int]]:
    """Return the steps of a task of three, each with its tenant and number."""
    taken: list[tuple[UUID | None, int]] = []

    def step(budget: UpkeepBudget) -> UpkeepStep:
        number = budget.cursor.get("number", 0) + 1
        taken.append((budget.tenant_id, number))
        return UpkeepStep({"numbers": 1}, has_more=number < 3, cursor={"number": number} if number < 3 else {})

    plant(step, tenant_permission=Permission.AUDIT_VIEW)
    return taken


def request(tenant: Tenant) -> RequestedRun:
    with acting_as(ALICE):
        return request_tenant_run(name="planted", tenant=tenant)


def advance(tenant: Tenant) -> TenantUpkeepRun:
    """Take one step."""
    return run_tenant_upkeep(name="planted", tenant_id=tenant.pk, seconds=0)


def rows() -> list[TenantUpkeepRun]:
    with all_tenants():
        return list(TenantUpkeepRun.objects.order_by("id"))


def change(**columns: object) -> None:
    with all_tenants():
        assert TenantUpkeepRun.objects.update(**columns) == 1


def test_tenant_run_is_one_row_from_request_to_end(
    steps: list[tuple[UUID | None, int]], published: list[tuple[str, UUID | None]], acme: Tenant
) -> None:
    requested = request(acme)
    assert requested.is_new
    assert (requested.run.outcome, requested.run.requested_by, requested.run.started_at) == (
        Outcome.REQUESTED,
        "alice",
        None,
    )
    assert published == [("planted", acme.pk)]
    outcomes = [advance(acme).outcome for _ in range(3)]
    assert outcomes == [Outcome.PARTIAL, Outcome.PARTIAL, Outcome.OK]
    assert steps == [(acme.pk, 1), (acme.pk, 2), (acme.pk, 3)]
    (row,) = rows()
    assert (row.pk, row.counts, row.cursor, row.progress) == (requested.run.pk, {"numbers": 3}, {}, 1.0)
    assert row.started_at is not None
    assert row.finished_at is not None
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="upkeep.requested")
    assert (entry.tenant_id, entry.actor_label, entry.target_id) == (acme.pk, "alice", str(row.pk))


def test_second_request_returns_the_open_run(steps: list[tuple[UUID | None, int]], acme: Tenant) -> None:
    first, second = request(acme), request(acme)
    assert (second.run.pk, second.is_new) == (first.run.pk, False)
    advance(acme)
    assert request(acme).run.pk == first.run.pk
    advance(acme)
    advance(acme)
    third = request(acme)
    assert third.is_new
    assert third.run.pk != first.run.pk


def test_two_requests_at_once_make_one_run(steps: list[tuple[UUID | None, int]], acme: Tenant) -> None:
    barrier, made = threading.Barrier(2), list[RequestedRun]()

    def ask() -> None:
        try:
            barrier.wait(10)
            made.append(request(acme))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({requested.run.pk for requested in made}) == 1
    assert sorted(requested.is_new for requested in made) == [False, True]
    assert len(rows()) == 1


def test_killed_tenant_run_continues_from_its_cursor_and_counts_once(
    steps: list[tuple[UUID | None, int]], acme: Tenant
) -> None:
    request(acme)
    advance(acme)
    now = timezone.now()
    change(outcome=Outcome.RUNNING, lease_expires_at=now + timedelta(minutes=5))
    with pytest.raises(UpkeepBusyError):
        advance(acme)
    change(lease_expires_at=now - timedelta(seconds=1))
    assert run_tenant_upkeep(name="planted", tenant_id=acme.pk).outcome == Outcome.OK
    assert [number for _, number in steps] == [1, 2, 3]
    assert rows()[0].counts == {"numbers": 3}


def test_tenant_runs_take_turns(
    steps: list[tuple[UUID | None, int]],
    published: list[tuple[str, UUID | None]],
    acme: Tenant,
    globex: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def advance_once(*, name: str, tenant_id: UUID) -> TenantUpkeepRun:
        return run_tenant_upkeep(name=name, tenant_id=tenant_id, seconds=0)

    monkeypatch.setattr("scheduling.upkeep.tenant_runs.run_tenant_upkeep", advance_once)
    request(acme)
    request(globex)
    while published:
        name, tenant_id = published.pop(0)
        tasks.run_upkeep(name, str(tenant_id))
    assert steps == [(tenant.pk, number) for number in (1, 2, 3) for tenant in (acme, globex)]
    assert {row.outcome for row in rows()} == {Outcome.OK}


def test_lost_message_is_sent_again(
    steps: list[tuple[UUID | None, int]], published: list[tuple[str, UUID | None]], acme: Tenant
) -> None:
    request(acme)
    published.clear()
    assert run_upkeep(name="requested_runs").counts == {"runs_republished": 0}
    change(lease_expires_at=timezone.now() - timedelta(seconds=61))
    assert run_upkeep(name="requested_runs").counts == {"runs_republished": 1}
    assert published == [("planted", acme.pk)]


def test_request_stays_while_the_broker_is_away(
    steps: list[tuple[UUID | None, int]],
    acme: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(name: str, tenant_id: UUID | None = None) -> None:
        raise BrokerUnavailableError("away")

    monkeypatch.setattr(publishing, "publish_upkeep", refuse)
    assert request(acme).is_new
    assert "upkeep.not_published" in [record.message for record in caplog.records]
    assert [row.outcome for row in rows()] == [Outcome.REQUESTED]


def test_replayed_message_starts_nothing(steps: list[tuple[UUID | None, int]], acme: Tenant) -> None:
    assert tasks.run_upkeep("planted", str(acme.pk)) == "busy"
    request(acme)
    assert tasks.run_upkeep("planted", str(acme.pk)) == "ok"
    assert tasks.run_upkeep("planted", str(acme.pk)) == "busy"
    assert len(steps) == 3


def test_finding_fails_the_tenant_run_and_not_the_platforms_task(
    plant: Plant, published: list[tuple[str, UUID | None]], acme: Tenant
) -> None:
    ended: list[str] = []

    def note(sender: object, name: str, **facts: object) -> None:
        ended.append(name)

    def step(budget: UpkeepBudget) -> UpkeepStep:
        if budget.cursor:
            return UpkeepStep()
        return UpkeepStep(has_more=True, cursor={"number": 1}, findings=["It differs."])

    plant(step, tenant_permission=Permission.AUDIT_VIEW)
    request(acme)
    signals.upkeep_ended.connect(note)
    try:
        assert [advance(acme).outcome for _ in range(2)] == [Outcome.PARTIAL, Outcome.FAILED]
    finally:
        signals.upkeep_ended.disconnect(note)
    assert rows()[0].messages == ["It differs."]
    assert ended == []
    assert not UpkeepRun.objects.filter(name="planted").exists()
    assert [warning for warning in find_upkeep_warnings() if warning.code == "failed"] == []


def test_run_whose_row_is_gone_ends_quietly(
    plant: Plant, published: list[tuple[str, UUID | None]], acme: Tenant
) -> None:
    def step(budget: UpkeepBudget) -> UpkeepStep:
        with all_tenants():
            TenantUpkeepRun.objects.all().delete()
        return UpkeepStep()

    plant(step, tenant_permission=Permission.AUDIT_VIEW)
    request(acme)
    assert tasks.run_upkeep("planted", str(acme.pk)) == "taken over"


def test_tenant_sees_only_its_own_runs(steps: list[tuple[UUID | None, int]], acme: Tenant, globex: Tenant) -> None:
    own = request(acme)
    request(globex)
    with tenant_context(acme):
        assert [row.pk for row in TenantUpkeepRun._base_manager.all()] == [own.run.pk]


def test_task_only_for_the_platform_is_refused(acme: Tenant, published: list[tuple[str, UUID | None]]) -> None:
    with pytest.raises(UpkeepUnknownError, match="there are: verify_audit"):
        request_tenant_run(name="partitions", tenant=acme)
    assert published == []
