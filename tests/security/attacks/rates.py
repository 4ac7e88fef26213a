"""Attacks by volume and cost: request rates, streams, templates, queries, shared breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import cycle
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from scheduling.breakers.dependencies import report_probe_result
from scheduling.execution.dependencies import DependencyUse
from scheduling.kit.base import Dependency, TransientError
from scheduling.models import CircuitNews
from scheduling.streams import responses
from tenants.access.api_keys import issue_api_key
from tenants.access.caller import Access
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import DomainError
from tenants.limits.service import set_tenant_limit
from tenants.models import ApiKey
from tests.request_rates import give_real_rates, own_buckets, real_anonymous_rate
from tests.security.table import Attack
from tests.security.world import World, refusal_of
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.model_endpoints.endpoints import MODEL_LIMITS
from workloads.workflows.definition.template_budget import TemplateFailedError
from workloads.workflows.definition.templates import render_template
from workloads.workflows.running.concurrency import within

CHECK = "/api/v1/workflows/check/"


def _last_of(send: Callable[[], Any], times: int) -> str:
    """Send until the response changes, at most ``times`` times; return the last response."""
    first = refusal_of(send())
    for _ in range(times):
        if (found := refusal_of(send())) != first:
            return found
    return first


def _flood_by_key(world: World) -> str:
    give_real_rates(world.aaa)
    client = world.with_key(world.aaa, [*DEVELOPER_KEY_SCOPES])
    with own_buckets():
        return _last_of(lambda: client.post(CHECK, {"definition": {}}), 200)


def _flood_by_many_keys(world: World) -> str:
    give_real_rates(world.aaa)
    clients = [world.with_key(world.aaa, [*DEVELOPER_KEY_SCOPES]) for _ in range(40)]
    with own_buckets():
        turns = cycle(clients)
        return _last_of(lambda: next(turns).post(CHECK, {"definition": {}}), 400)


def _flood_by_refused_submissions(world: World) -> str:
    give_real_rates(world.aaa)
    client = world.with_key(world.aaa, [*DEVELOPER_KEY_SCOPES])
    with own_buckets():
        return _last_of(lambda: client.post("/api/v1/jobs/", {"kind": "there is none"}), 400)


def _with_ten_units(world: World) -> APIClient:
    """Return a client whose key has ten units and gains one a minute, regardless of the speed of its requests."""
    give_real_rates(world.aaa)
    for name, value in (("key_requests_per_minute", 1), ("key_request_burst", 10)):
        set_tenant_limit(tenant=world.aaa, key=name, value=value, reason="a test")
    return world.with_key(world.aaa, [*DEVELOPER_KEY_SCOPES])


def _flood_by_rejected_bulks(world: World) -> str:
    client = _with_ten_units(world)
    with own_buckets():
        return _last_of(lambda: client.post("/api/v1/jobs/bulk/", {"jobs": [{"kind": "there is none"}]}), 9)


def _flood_by_repeated_submissions(world: World) -> str:
    client, again = _with_ten_units(world), {"Idempotency-Key": "again"}
    with own_buckets():
        client.post("/api/v1/jobs/", {"kind": "noop", "payload": {}}, headers=again)
        return _last_of(lambda: client.post("/api/v1/jobs/", {"kind": "noop", "payload": {}}, headers=again), 9)


def _flood_without_credentials(world: World) -> str:
    client = world.anonymous()
    with real_anonymous_rate():
        return _last_of(lambda: client.get("/api/v1/schema/"), 300)


def _flood_with_forged_addresses(world: World) -> str:
    client, number = world.anonymous(), iter(range(1_000))
    with real_anonymous_rate():
        return _last_of(
            lambda: client.get("/api/v1/jobs/", headers={"X-Forwarded-For": f"198.51.100.{next(number) % 250}"}), 300
        )


def _fifty_first_key(world: World) -> str:
    for _ in range(51):
        try:
            issue_api_key(tenant=world.aaa, name="one of many", scopes=["jobs.view"])
        except DomainError as refusal:
            return f"422 {refusal.code}"
    return "201 created"


def _all_streams_by_many_keys(world: World) -> str:
    """Return the result of one more stream of the victim, after 500 streams with 26 keys."""
    opened, refused = [], ""
    for number in range(500):
        key = ApiKey(pk=number // 20, tenant=world.aaa)
        try:
            opened.append(_open_stream(Access(tenant=world.aaa, api_key=key)))
        except DomainError as refusal:
            refused = refusal.code
    opened.append(_open_stream(Access(tenant=world.zeta, api_key=ApiKey(pk=999, tenant=world.zeta))))
    return f"429 {refused}" if refused else "500 streams"


def _open_stream(access: Access) -> object:
    request = RequestFactory().get("/api/v1/jobs/stream/")
    request.access = access  # type: ignore[attr-defined]
    with tenant_context(access.tenant):  # type: ignore[arg-type]
        return responses.stream_response(Mock(), Mock(request=request))


def _render(source: str) -> Callable[[World], str]:
    numbers = [str(number * 7_919 % 20_011) for number in range(20_000)]

    def run(_world: World) -> str:
        try:
            return f"{len(render_template(source, {'inputs': {'numbers': numbers}}))} characters"
        except TemplateFailedError as error:
            return str(error)

    return run


def _exhaust(source: str) -> Callable[[World], str]:
    """Return an attack that exhausts one of two budgets: which one depends on the speed of the machine."""
    budgets = {
        "The template takes more than 2 s.",
        "The template creates values of more than 16,000,000 characters in total.",
    }

    def run(world: World) -> str:
        refusal = _render(source)(world)
        return "The budget of time or of size ends it." if refusal in budgets else refusal

    return run


def _define(source: str) -> Callable[[World], str]:
    def run(world: World) -> str:
        client = world.with_key(world.aaa, [*DEVELOPER_KEY_SCOPES])
        definition = workflow(node("deep", template=source))
        checked = client.post(CHECK, {"definition": definition})
        if checked.status_code != 200 or checked.json()["is_valid"]:
            return refusal_of(checked)
        return refusal_of(client.post("/api/v1/workflows/", {"name": "deep", "definition": definition}))

    return run


def _filter_by_hash(world: World) -> str:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root of the world"))
    return str(client.get("/admin/scheduling/job/?payload_hash=1").status_code)


def _poison_document(world: World) -> str:
    evil = "evil-version"
    world.anonymous().get("/api/v1/schema/", {"version": evil})
    return "in the document" if evil.encode() in world.anonymous().get("/api/v1/schema/").content else "not repeated"


def _shorten_timeouts(world: World) -> str:
    """Return the result after ten chats with the platform's model that time out after 10 ms, of two tenants in turn."""
    for number in range(10):
        tenant = (world.aaa, world.zeta)[number % 2]
        use = DependencyUse(Mock())
        try:
            asyncio.run(within(lambda: asyncio.sleep(60), 0.01, MODEL_LIMITS.total_seconds))  # type: ignore[arg-type, return-value]
        except TransientError as error:
            use.leave(Dependency("llm", is_shared=True), error)
        (report,) = use._reports.values()
        report_probe_result(tenant_id=tenant.pk, kind="workflow_execution", job_id=uuid4(), report=report)
    with all_tenants():
        return f"{CircuitNews.objects.filter(is_shared=True).count()} failures of what all share"


ATTACKS: tuple[Attack, ...] = (
    Attack("key floods the checks of workflows", "POST workflows/check/ at once", "429 rate_limited", _flood_by_key),
    Attack("tenant floods by many keys", "a check by each of 40 keys", "429 rate_limited", _flood_by_many_keys),
    Attack(
        "key floods by submissions that are refused",
        "POST jobs/ of an unknown kind",
        "429 rate_limited",
        _flood_by_refused_submissions,
    ),
    Attack(
        "key floods by bulks of which every job is rejected",
        "POST jobs/bulk/ of an unknown kind",
        "429 rate_limited",
        _flood_by_rejected_bulks,
    ),
    Attack(
        "key floods by repeating one submission",
        "POST jobs/ with one Idempotency-Key",
        "429 rate_limited",
        _flood_by_repeated_submissions,
    ),
    Attack(
        "address without credentials floods the schema",
        "GET schema/ at once",
        "429 rate_limited",
        _flood_without_credentials,
    ),
    Attack(
        "address forges others to have their buckets",
        "X-Forwarded-For without a proxy",
        "429 rate_limited",
        _flood_with_forged_addresses,
    ),
    Attack("tenant issues keys without end", "51 keys", "422 api_key_limit", _fifty_first_key),
    Attack(
        "tenant takes all streams by many keys",
        "500 streams of 25 keys",
        "429 too_many_streams",
        _all_streams_by_many_keys,
    ),
    Attack(
        "template sorts without end",
        "1,000 sorts of 20,000 texts",
        "The budget of time or of size ends it.",
        _exhaust("{% set a = inputs.numbers|sort|sort|sort|sort %}" * 250),
    ),
    Attack(
        "template doubles a list 60 times",
        "[a, a] of [a, a] of …",
        "The template creates a text of more than 512,000 characters.",
        _render("{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}"),
    ),
    Attack(
        "template sorts by an attribute of 20,000 parts",
        "sort(attribute='0.0.0…')",
        "An attribute has at most 10 parts.",
        _render("{{ inputs.numbers | sort(attribute='" + "0." * 20_000 + "0') | length }}"),
    ),
    Attack(
        "template tells texts apart by an attribute of 20,000 parts",
        "unique(false, '0.0.0…')",
        "An attribute has at most 10 parts.",
        _render("{{ inputs.numbers | unique(false, '" + "0." * 20_000 + "0') | length }}"),
    ),
    Attack(
        "template looks into 20,000 elements by ten parts without end",
        "100 sorts by an attribute of ten parts",
        "The template takes more than 100,000 steps.",
        _render("{{ inputs.numbers | min(attribute='0.0.0.0.0.0.0.0.0.0') }}" * 100),
    ),
    Attack(
        "template rounds to a hundred million digits",
        "1 | round(99999999, 'ceil')",
        "round takes a precision of at most 15.",
        _render("{{ 1 | round(99999999, 'ceil') }}"),
    ),
    Attack(
        "template of 2,000 filters in a chain",
        "POST workflows/check/ and workflows/",
        "422 definition_invalid",
        _define("{{ inputs.x" + "|lower" * 2_000 + " }}"),
    ),
    Attack(
        "template of 3,000 sums in a chain",
        "POST workflows/check/ and workflows/",
        "422 definition_invalid",
        _define("{{ " + "1+" * 3_000 + "1 }}"),
    ),
    Attack(
        "two tenants open everybody's breaker by short time-outs",
        "llm nodes with a timeout_seconds of 0.01",
        "0 failures of what all share",
        _shorten_timeouts,
    ),
    Attack("query of the console by a hash", "GET /admin/scheduling/job/?payload_hash=1", "400", _filter_by_hash),
    Attack("client writes into everybody's schema", "GET schema/?version=…", "not repeated", _poison_document),
)
