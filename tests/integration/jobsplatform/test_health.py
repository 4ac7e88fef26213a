"""Readiness: ready means that jobs can be accepted; an absent broker or dispatcher is only reported."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.test import Client

from jobsplatform.health import probes, views
from jobsplatform.health.views import ReadyView
from scheduling.diagnosis import starts
from scheduling.diagnosis.starts import stall_watch
from scheduling.dispatch import broker
from scheduling.dispatch.broker_faults import record_refused_hints
from scheduling.fleet.processes import ProcessPulse
from scheduling.fleet.workers import register_worker
from scheduling.models import Job, PoolClock, ProcessHeartbeat, WorkerPool
from tenants.context import all_tenants
from tenants.database.write_probe import write_watch
from tenants.tenancy.service import create_tenant
from tests.auditing import audit_once
from tests.databases import TestDatabase, connect_as_owner
from tests.integration.scheduling.job_helpers import submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)

CHECKS = ("database", "migrations", "writes", "broker", "dispatcher", "publishing", "starts", "auditor")


@pytest.fixture(autouse=True)
def fresh_client() -> None:
    """Drop the broker's client that another test has redirected."""
    broker.client.cache_clear()
    stall_watch.__init__()  # type: ignore[misc]


def tick(ago: timedelta) -> None:
    """Store a tick of the dispatcher."""
    with all_tenants():
        PoolClock.objects.update_or_create(
            pool=WorkerPool.objects.get(name="default"), defaults={"ticked_at": datetime.now(UTC) - ago}
        )


def audit(ago: timedelta) -> None:
    """Store an auditor's heartbeat, and seal the waiting entries."""
    audit_once()
    ProcessPulse(ProcessHeartbeat.Role.AUDITOR).beat()
    with all_tenants():
        ProcessHeartbeat.objects.update(heartbeat_at=datetime.now(UTC) - ago)


def test_database_lost_after_its_check_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(views, "current_load", lose)
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["checks"]["database"]) == (503, "The database does not respond.")


def test_process_unable_to_run_its_checks_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_view: ReadyView) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(ReadyView, "get_checks", refuse)
    response = Client().get("/health/ready")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.json()["checks"] == {"process": "cannot schedule new futures after interpreter shutdown"}


def test_ready_when_all_checks_pass() -> None:
    tick(timedelta(seconds=0))
    audit(timedelta(seconds=0))
    response = Client().get("/health/ready")
    assert response.json() == {
        "status": "ready",
        "checks": dict.fromkeys(CHECKS, "ok"),
        "load": {},
    }
    assert response.status_code == 200


def test_not_ready_while_the_database_refuses_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    tick(timedelta(seconds=0))
    full = "PostgreSQL does not accept writes: could not extend file base/1/2: No space left on device"
    monkeypatch.setattr(write_watch, "read", lambda: full)
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert response.json()["checks"]["writes"] == "Unavailable: The database does not accept writes."


def test_degraded_for_ten_seconds_after_the_broker_refused_a_message() -> None:
    tick(timedelta(seconds=0))
    audit(timedelta(seconds=0))
    record_refused_hints(WorkerPool.objects.get(name="default").pk)
    tick(timedelta(seconds=0))
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["publishing"] == "Unavailable: The broker accepts no messages of: default."
    with all_tenants():
        PoolClock.objects.update(publish_failed_at=datetime.now(UTC) - timedelta(seconds=11))
    assert Client().get("/health/ready").json()["status"] == "ready"


def test_degraded_while_nothing_starts_beside_free_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    tick(timedelta(seconds=0))
    audit(timedelta(seconds=0))
    register_worker(pool_name="default", hostname="here", pid=1, slots=2)
    submit(create_tenant(slug="acme", plan="team"))
    with all_tenants():
        Job.objects.update(run_at=datetime.now(UTC) - timedelta(seconds=20))
    monkeypatch.setattr(starts, "KEPT_SECONDS", 0.0)
    for _ in range(2):
        response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["starts"].endswith("for lack of a worker, in: default.")


def auditor_check() -> str:
    return str(Client().get("/health/ready").json()["checks"]["auditor"])


def test_degraded_while_no_auditor_is_alive() -> None:
    tick(timedelta(seconds=0))
    answer = Client().get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "no auditor has run yet" in answer.json()["checks"]["auditor"]
    audit(timedelta(seconds=31))
    assert re.search(r"heartbeat of an auditor was 3\d s ago", auditor_check())
    audit(timedelta(seconds=5))
    assert Client().get("/health/ready").json()["status"] == "ready"


def test_degraded_while_an_audit_entry_waits_for_its_seal(django_db_setup: TestDatabase) -> None:
    tick(timedelta(seconds=0))
    audit(timedelta(seconds=0))
    create_tenant(slug="acme", plan="team")
    with connect_as_owner(django_db_setup.name) as owner, owner.transaction():
        owner.execute("ALTER TABLE tenants_auditpending NO FORCE ROW LEVEL SECURITY")
        owner.execute("UPDATE tenants_auditpending SET queued_at = now() - interval '31 s'")
        owner.execute("ALTER TABLE tenants_auditpending FORCE ROW LEVEL SECURITY")
    assert re.search(r"has waited for its link in the hash chain for 3\d s", auditor_check())
    audit(timedelta(seconds=0))
    assert Client().get("/health/ready").json()["status"] == "ready"


def test_degraded_while_no_dispatcher_has_run() -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=None)
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert "No dispatcher has ticked yet" in response.json()["checks"]["dispatcher"]


def test_degraded_when_the_last_tick_is_old() -> None:
    tick(timedelta(minutes=5))
    assert "s ago" in Client().get("/health/ready").json()["checks"]["dispatcher"]


def test_degraded_without_a_broker_whose_address_is_hidden(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    tick(timedelta(seconds=0))
    change_platform_settings(REDIS_URL="redis://:secret@127.0.0.1:9/0")
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["broker"] == "Unavailable: The broker does not respond."


def test_not_ready_while_migrations_are_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "count_pending_migrations", lambda: 2)
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert response["Retry-After"]
    assert "2 migrations are not applied" in response.json()["checks"]["migrations"]


def test_readiness_needs_no_tenant_or_login() -> None:
    assert "checks" in Client().get("/health/ready").json()
