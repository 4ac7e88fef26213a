"""Ready means: database, broker and dispatcher are there."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import Settings

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


def test_ready_when_all_three_answer() -> None:
    tick(timedelta(seconds=0))
    response = Client().get("/health/ready")
    assert response.json() == {
        "status": "ready",
        "checks": {"database": "ok", "broker": "ok", "dispatcher": "ok"},
    }
    assert response.status_code == 200


def test_not_ready_while_no_dispatcher_has_run() -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=None)
    response = Client().get("/health/ready")
    assert response.status_code == 503
    assert response["Retry-After"]
    assert "No dispatcher has run yet" in response.json()["checks"]["dispatcher"]


def test_not_ready_when_the_last_tick_is_old() -> None:
    tick(timedelta(minutes=5))
    assert "s ago" in Client().get("/health/ready").json()["checks"]["dispatcher"]


def test_not_ready_without_a_broker_and_its_address_is_not_told(settings: Settings) -> None:
    tick(timedelta(seconds=0))
    settings.REDIS_URL = "redis://:secret@127.0.0.1:9/0"
    response = Client().get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["broker"] == "Unavailable: The broker does not answer."


def test_readiness_does_not_need_a_tenant_or_a_login() -> None:
    assert "checks" in Client().get("/health/ready").json()
