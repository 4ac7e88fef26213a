"""The adapter of Redis streams: entries with the message's id, in a stream of the tenant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from scheduling.kit.base import PermanentError, TransientError
from scheduling.kit.outbox import OutboxItem
from scheduling.models import OutboxMessage, OutboxRoute
from scheduling.outbox.redis_stream import RedisStreamAdapter
from scheduling.outbox.service import OUTBOX_ROUTES
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tests.integration.scheduling.outbox.conftest import Deliver, states
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def pool() -> str:
    return "prefork"


@pytest.fixture
def stream(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> Iterator[Any]:
    """Return a client of the server, and the name of a stream for acme."""
    change_platform_settings(OUTBOX_REDIS_URL=platform_settings.REDIS_URL)
    client, target = Redis.from_url(platform_settings.REDIS_URL, decode_responses=True), uuid4().hex
    yield client, target
    client.delete(f"outbox:{acme.pk}:{target}")
    client.close()


def test_message_becomes_an_entry_with_its_id(acme: Tenant, stream: Any, deliver: Deliver) -> None:
    client, target = stream
    with tenant_context(acme):
        values = {"name": "stream", "topic": "order.*", "adapter": "redis_stream", "target": target}
        route = OUTBOX_ROUTES.save(OutboxRoute(), values)
        for number in (1, 2):
            OutboxMessage.objects.create(
                tenant=acme, route=route, job_id=route.pk, topic="order.paid", key="a", body={"n": number},
                state="pending",
            )  # fmt: skip
        with pytest.raises(FieldInvalidError):
            OUTBOX_ROUTES.save(OutboxRoute(), {**values, "name": "other", "target": "no spaces"})
    assert deliver() == 1
    assert states() == ["delivered"] * 2
    entries = [fields for _, fields in client.xrange(f"outbox:{acme.pk}:{target}")]
    with all_tenants():
        ids = [str(pk) for pk in OutboxMessage.objects.order_by("created_at", "pk").values_list("pk", flat=True)]
    assert [entry["id"] for entry in entries] == ids
    assert [json.loads(entry["data"]) for entry in entries] == [{"n": 1}, {"n": 2}]
    assert {(entry["tenant"], entry["topic"], entry["key"]) for entry in entries} == {(str(acme.pk), "order.paid", "a")}


def test_absent_server_is_transient_and_an_unset_one_permanent(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(OUTBOX_REDIS_URL="redis://127.0.0.1:9/0")
    destination = RedisStreamAdapter().open(tenant_id=acme.pk, target="orders")
    assert destination.dependency == "redis:127.0.0.1"
    with pytest.raises(TransientError):
        destination.send(OutboxItem(uuid4(), acme.pk, "order.paid", "", {}, read_clock()))
    change_platform_settings(OUTBOX_REDIS_URL="")
    with pytest.raises(PermanentError):
        RedisStreamAdapter().open(tenant_id=acme.pk, target="orders")
