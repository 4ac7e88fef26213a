"""Ready means: jobs can be accepted. Broker and dispatcher may be away, which is told."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import Settings

from jobsplatform.health import probes
from scheduling import broker
from scheduling.models import PoolClock, WorkerPool
from tenants.context import all_tenants

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_client() -> None:
    """Forget a client of the broker that another test pointed elsewhere."""
    broker._client.cache_clear()


def tick(ago: timedelta) -> None:
    """Let the dispatcher have ticked."""
    with all_tenants():
        PoolClock.objects.update_or_create(
            pool=WorkerPool.objects.get(name="default"), defaults={"ticked_at": datetime.now(UTC) - ago}
        )


def test_ready_when_all_answer() -> None:
    tick(timedelta(seconds=0))
    response = Client().get("/health/ready")
    assert response.json() == {
        "status": "ready",
        "checks": {"database": "ok", "migrations": "ok", "broker": "ok", "dispatcher": "ok"},
    }
    assert response.status_code == 200


def test_degraded_while_no_dispatcher_has_run() -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=None)
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert "No dispatcher has run yet" in response.json()["checks"]["dispatcher"]


def test_degraded_when_the_last_tick_is_old() -> None:
    tick(timedelta(minutes=5))
    assert "s ago" in Client().get("/health/ready").json()["checks"]["dispatcher"]


def test_degraded_without_a_broker_since_jobs_are_accepted_and_its_address_is_not_told(settings: Settings) -> None:
    tick(timedelta(seconds=0))
    settings.REDIS_URL = "redis://:secret@127.0.0.1:9/0"
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["broker"] == "Unavailable: The broker does not answer."


def test_not_ready_while_migrations_are_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "count_pending_migrations", lambda: 2)
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert response["Retry-After"]
    assert "2 migrations are not applied" in response.json()["checks"]["migrations"]


def test_readiness_does_not_need_a_tenant_or_a_login() -> None:
    assert "checks" in Client().get("/health/ready").json()
