"""Messages of jobs: stored with the effects of the job, delivered in order per key, and again after failures."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from scheduling.configuration.service import ConfiguredRowTakenError
from scheduling.kit.base import Complete, PermanentError, Yielded
from scheduling.models import Job, OutboxMessage, OutboxRoute
from scheduling.outbox.exceptions import OutboxMessageNotRetryableError, OutboxRouteMissingError
from scheduling.outbox.relay import OutboxRelay
from scheduling.outbox.service import OUTBOX_ROUTES, retry_message
from scheduling.upkeep.retention.platform_rows import prune_platform_rows
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.outbox.conftest import Deliver, received, states
from tests.integration.scheduling.worker import conftest as scripted
from tests.integration.scheduling.worker.conftest import value_of
from tests.integration.workloads.webhooks.conftest import Run
from tests.web_server import WebServer

pytestmark = pytest.mark.usefixtures("transactional_db")


def emit(*numbers: int, key: str = "", topic: str = "order.paid") -> Any:
    """Return a script that emits a message for each number."""

    async def script(context: Any) -> None:
        for number in numbers:
            context.emit(topic, {"number": number}, key=key)

    return script


def run_script(run: Run, tenant: Tenant, kind: str, script: Any) -> Job:
    scripted.script = script
    (job,) = submit(tenant, kind=kind)
    return run(job)


def make_due() -> None:
    with all_tenants():
        OutboxMessage.objects.update(due_at=Now() - timedelta(seconds=1))


def store(tenant: Tenant, route: OutboxRoute, *numbers: int, key: str = "", **values: Any) -> None:
    """Store pending messages without a job."""
    with tenant_context(tenant):
        for number in numbers:
            OutboxMessage.objects.create(
                tenant=tenant, route=route, job_id=route.pk, topic="order.paid", key=key, body={"number": number},
                **{"state": "pending", **values},
            )  # fmt: skip


def test_message_of_a_completed_job_is_delivered_signed_with_its_id(
    acme: Tenant, kind: str, run: Run, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    job = run_script(run, acme, kind, emit(1))
    assert job.state == "completed"
    assert deliver() == 1
    (seen,) = server.seen
    sent = json.loads(seen.body)
    with all_tenants():
        message = OutboxMessage.objects.get()
        assert (message.state, message.attempt, message.job_id) == ("delivered", 1, job.pk)
        delivery = Job.objects.get(pk=message.delivery_job_id)
    assert (delivery.state, delivery.result) == ("completed", {"delivered": 1, "failed": 0})
    assert sent["id"] == seen.headers["Webhook-Id"] == str(message.pk)
    assert (sent["type"], sent["data"]) == ("order.paid", {"number": 1})
    assert seen.headers["Webhook-Signature"].startswith("v1,")
    assert deliver() == 0


def test_messages_are_stored_with_the_checkpoint_and_dropped_with_a_failed_attempt(
    acme: Tenant, kind: str, run: Run, route: OutboxRoute
) -> None:
    async def script(context: Any) -> None:
        context.emit("order.paid", {"number": 1})
        await value_of(context.checkpoint({"step": 1}, lambda: context.emit("order.paid", {"number": 2})))
        context.emit("order.paid", {"number": 3})
        raise PermanentError("no")

    job = run_script(run, acme, kind, script)
    assert job.state == "discarded"
    with all_tenants():
        assert [message.body["number"] for message in OutboxMessage.objects.order_by("pk")] == [1, 2]


def test_messages_of_failed_effects_are_dropped(acme: Tenant, kind: str, run: Run, route: OutboxRoute) -> None:
    async def script(context: Any) -> Complete:
        def broken() -> None:
            context.emit("order.paid", {"number": 2})
            raise ValueError("no")

        context.emit("order.paid", {"number": 1})
        with pytest.raises(ValueError, match="no"):
            await value_of(context.checkpoint({"step": 1}, broken))
        return Complete({})

    assert run_script(run, acme, kind, script).state == "completed"
    with all_tenants():
        assert [message.body["number"] for message in OutboxMessage.objects.all()] == [1]


def test_messages_are_stored_when_a_job_yields(acme: Tenant, kind: str, run: Run, route: OutboxRoute) -> None:
    async def script(context: Any) -> Yielded:
        context.emit("order.paid", {"number": 1})
        return Yielded({"step": 1})

    run_script(run, acme, kind, script)
    assert states() == ["pending"]


def test_message_without_a_route_is_kept_and_delivered_after_one_exists(
    acme: Tenant, kind: str, run: Run, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    run_script(run, acme, kind, emit(1, topic="invoice.sent"))
    assert (states(), deliver()) == (["unrouted"], 0)
    with all_tenants():
        message = OutboxMessage.objects.get()
    with tenant_context(acme):
        with pytest.raises(OutboxRouteMissingError):
            retry_message(message_id=message.pk)
        for name in ("invoices", "all"):
            values = {"name": name, "topic": "*", "adapter": "webhook", "target": "ops"}
            OUTBOX_ROUTES.save(OutboxRoute(), values)
        retry_message(message_id=message.pk, reason="it has a route now")
    assert deliver() == 2
    assert received(server) == [{"number": 1}, {"number": 1}]
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="outbox_message.retried")
        assert (entry.reason, entry.after) == ("it has a route now", {"state": "pending"})


@pytest.mark.parametrize("pool", ["prefork"])
def test_order_of_a_key_is_kept_over_failures_and_other_keys_go_on(
    acme: Tenant, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    store(acme, route, 1, 2, key="a")
    server.answers["/hook"] = (500, {}, b"")
    deliver()
    assert states() == ["pending", "pending"]
    server.answers.clear()
    server.seen.clear()
    store(acme, route, 3, key="a")
    store(acme, route, 4, key="b")
    store(acme, route, 5)
    assert deliver() == 1
    assert sorted(one["number"] for one in received(server)) == [4, 5]  # type: ignore[index]
    server.seen.clear()
    make_due()
    assert deliver() == 1
    assert received(server) == [{"number": 1}, {"number": 2}, {"number": 3}]
    assert set(states()) == {"delivered"}


@pytest.mark.parametrize("pool", ["prefork"])
def test_attempts_repeat_the_same_bytes_and_end_as_dead(
    acme: Tenant, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    server.answers["/hook"] = (503, {"Retry-After": "7000"}, b"")
    store(acme, route, 1)
    deliver()
    with all_tenants():
        message = OutboxMessage.objects.get()
        assert message.due_at - message.created_at > timedelta(seconds=6_900)
        OutboxMessage.objects.update(attempt=8)
    make_due()
    deliver()
    first, second = server.seen
    assert (first.body, first.headers["Webhook-Id"]) == (second.body, second.headers["Webhook-Id"])
    assert states() == ["dead"]
    with tenant_context(acme):
        retry_message(message_id=message.pk)
        with pytest.raises(OutboxMessageNotRetryableError):
            retry_message(message_id=message.pk)
    server.answers.clear()
    deliver()
    assert states() == ["delivered"]


@pytest.mark.parametrize("pool", ["prefork"])
def test_refused_message_is_dead_at_once_and_frees_its_key(
    acme: Tenant, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    server.answers["/hook"] = (410, {}, b"")
    store(acme, route, 1, 2, key="a")
    deliver()
    assert states() == ["dead", "pending"]
    server.answers.clear()
    deliver()
    assert states() == ["dead", "delivered"]


@pytest.mark.parametrize("pool", ["prefork"])
def test_disabled_route_keeps_its_messages_and_a_deleted_one_gives_them_up(
    acme: Tenant, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    with tenant_context(acme):
        OUTBOX_ROUTES.save(route, {"is_enabled": False})
    store(acme, route, 1)
    assert (deliver(), states()) == (0, ["pending"])
    with tenant_context(acme):
        OUTBOX_ROUTES.delete(route)
    assert (deliver(), states()) == (0, ["dead"])
    with all_tenants():
        assert OutboxMessage.objects.get().error == "The route was deleted."


@pytest.mark.parametrize("pool", ["prefork"])
def test_route_has_one_delivery_job_and_messages_of_an_ended_one_are_released(
    acme: Tenant, route: OutboxRoute, server: WebServer, deliver: Deliver
) -> None:
    store(acme, route, 1)
    relay = OutboxRelay()
    assert relay.take_turn() == 1
    store(acme, route, 2)
    assert relay.take_turn() == 0
    with all_tenants():
        Job.objects.filter(kind="outbox_delivery").update(state="cancelled")
    assert relay.take_turn() == 1
    with all_tenants():
        (job,) = Job.objects.filter(kind="outbox_delivery", state="available")
        assert OutboxMessage.objects.filter(delivery_job_id=job.pk).count() == 2
    assert reload(job).payload == {"route": str(route.pk)}


@pytest.mark.parametrize("pool", ["prefork"])
def test_tenant_without_room_for_jobs_keeps_its_messages(acme: Tenant, route: OutboxRoute, run: Run) -> None:
    store(acme, route, 1)
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(status="suspended")
        assert OutboxRelay().take_turn() == 0
        Tenant.objects.filter(pk=acme.pk).update(status="active")
        assert OutboxRelay().take_turn() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"topic": "Order"}, "topic"),
        ({"adapter": "carrier_pigeon"}, "adapter"),
        ({"target": "nothing"}, "target"),
        ({"adapter": "redis_stream", "target": "orders"}, "target"),
    ],
)
def test_route_that_cannot_work_is_refused(
    acme: Tenant, route: OutboxRoute, changes: dict[str, str], field: str
) -> None:
    values = {"name": "new", "topic": "a", "adapter": "webhook", "target": "ops", **changes}
    with tenant_context(acme), pytest.raises(FieldInvalidError) as refused:
        OUTBOX_ROUTES.save(OutboxRoute(), values)
    assert refused.value.errors[0]["field"] == field
    with tenant_context(acme), pytest.raises(ConfiguredRowTakenError):
        OUTBOX_ROUTES.save(OutboxRoute(), {"name": "orders", "topic": "a", "adapter": "webhook", "target": "ops"})
    with all_tenants(), pytest.raises(FieldInvalidError):
        OUTBOX_ROUTES.save(OutboxRoute(), {"name": "new", "topic": "a", "adapter": "webhook", "target": "ops"})


def test_other_tenants_see_nothing(acme: Tenant, globex: Tenant, route: OutboxRoute) -> None:
    store(acme, route, 1)
    with tenant_context(globex):
        assert not OutboxRoute.objects.exists()
        assert not OutboxMessage.objects.exists()


def test_old_messages_are_pruned_but_never_pending_ones(acme: Tenant, route: OutboxRoute) -> None:
    rows = [(8, "delivered"), (6, "delivered"), (9, "dead"), (31, "dead"), (32, "pending")]
    for days, state in rows:
        with all_tenants():
            day = uuid7_floor(read_clock() - timedelta(days=days))
        store(acme, route, 1, state=state, id=day)
    prune_platform_rows(limit=100)
    assert sorted(states()) == ["dead", "delivered", "pending"]
