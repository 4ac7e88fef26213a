"""A worker in the test's process, a listening server, and a kind that emits what a test scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from scheduling.models import Job, OutboxMessage, OutboxRoute
from scheduling.outbox.relay import OutboxRelay
from scheduling.outbox.service import OUTBOX_ROUTES
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.worker import conftest as scripted
from tests.integration.scheduling.worker.conftest import Scripted, ScriptedCoroutine
from tests.integration.workloads.webhooks.conftest import Run, run, server  # noqa: F401 - fixtures
from tests.processors import added_processor
from tests.web_server import WebServer
from workloads.webhooks.service import create_webhook

type Deliver = Callable[[], int]


@pytest.fixture(params=["prefork", "io"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["scripted", "scripted_coroutine"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return each of two kinds whose processor is `scripted.script`, which `monkeypatch` restores."""
    monkeypatch.setattr(scripted, "script", scripted.script)
    processor = {"scripted": Scripted, "scripted_coroutine": ScriptedCoroutine}[request.param]
    with added_processor(f"{processor.__module__}.{processor.__name__}"):
        yield request.param


@pytest.fixture
def route(acme: Tenant, server: WebServer) -> OutboxRoute:  # noqa: F811
    """Return a route of the topics `order.*` to a webhook at the server."""
    create_webhook(tenant=acme, name="ops", url=f"{server.url}/hook")
    with tenant_context(acme):
        return OUTBOX_ROUTES.save(
            OutboxRoute(), {"name": "orders", "topic": "order.*", "adapter": "webhook", "target": "ops"}
        )


@pytest.fixture
def deliver(run: Run) -> Deliver:  # noqa: F811
    """Return a function that does what a dispatcher and a worker do, and returns the number of delivery jobs."""
    relay = OutboxRelay()

    def deliver_all() -> int:
        count = relay.take_turn()
        with all_tenants():
            jobs = list(Job.objects.filter(kind="outbox_delivery", state="available"))
        for job in jobs:
            run(job)
        return count

    return deliver_all


def states() -> list[str]:
    """Return the state of each message, in the order in which they were stored."""
    with all_tenants():
        return list(OutboxMessage.objects.order_by("created_at", "pk").values_list("state", flat=True))


def received(server: WebServer) -> list[object]:  # noqa: F811
    """Return the content of each request that the server has seen."""
    return [json.loads(seen.body)["data"] for seen in server.seen]
