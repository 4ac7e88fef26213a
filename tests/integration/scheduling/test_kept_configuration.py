"""A submission finds limits, routes and settings in memory, and a change of them is known when that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from scheduling.models import Queue, RoutingRule
from scheduling.selectors import routes as routes_module
from scheduling.selectors.routes import kept_routes, read_routes
from scheduling.services.job_requests import JobRequest
from scheduling.services.routing import Routes
from scheduling.services.submission import submit_job
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.prepared import watch_statements
from tenants.selectors import limits as limits_module
from tenants.selectors import settings as settings_module

pytestmark = pytest.mark.django_db

CONFIGURATION = ("tenants_planlimit", "scheduling_routingrule", "tenants_tenantsettings")


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The caches turned on without Redis, which other tests share; memory is emptied as when its time is over."""
    modules = (limits_module, settings_module, routes_module)
    monkeypatch.setattr("tenants.shared_cache._read_shared", lambda name: None)
    monkeypatch.setattr("tenants.shared_cache._write_shared", lambda *_, **__: None)

    def empty() -> None:
        for module in modules:
            module._kept._kept.clear()

    empty()
    with override_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield empty
    empty()


def tenant_of(acme: Tenant) -> Tenant:
    with all_tenants():
        return Tenant.objects.select_related("plan").get(pk=acme.pk)


def statements_of_a_submission(tenant: Tenant) -> list[str]:
    prepared: list[str] = []

    @contextmanager
    def note(text: str) -> Iterator[None]:
        prepared.append(text)
        yield

    watch_statements(note)
    try:
        with CaptureQueriesContext(connection) as captured:
            submit_job(tenant=tenant, request=JobRequest(kind="noop"))
    finally:
        watch_statements(None)
    return [*prepared, *(query["sql"] or "" for query in captured.captured_queries)]


def about_configuration(statements: list[str]) -> int:
    return sum(any(table in statement for table in CONFIGURATION) for statement in statements)


def test_the_second_submission_asks_for_no_configuration(acme: Tenant, forget: Callable[[], None]) -> None:
    tenant = tenant_of(acme)
    cold, warm = statements_of_a_submission(tenant), statements_of_a_submission(tenant)
    assert about_configuration(cold) == 3
    assert about_configuration(warm) == 0
    forget()
    assert about_configuration(statements_of_a_submission(tenant)) == 3


def test_a_changed_rule_counts_when_the_kept_ones_are_over(acme: Tenant, forget: Callable[[], None]) -> None:
    tenant = tenant_of(acme)
    other = Queue.objects.exclude(pk=Routes.load(tenant.plan.tier_id).queue_for("noop", {}, None).pk).first()
    assert other is not None
    with all_tenants():
        RoutingRule.objects.create(position=0, kind="noop", queue=other)
    assert Routes.load(tenant.plan.tier_id).queue_for("noop", {}, None) != other
    forget()
    assert Routes.load(tenant.plan.tier_id).queue_for("noop", {}, None) == other


def test_what_is_kept_is_what_was_read(forget: Callable[[], None], django_assert_num_queries: Any) -> None:
    queues = list(Queue.objects.order_by("pk")[:2])
    condition = {"field": "a", "op": "exists"}
    with all_tenants():
        rule = RoutingRule.objects.create(position=0, kind="noop", balance="weighted", condition=condition)
        for weight, queue in enumerate(queues, start=1):
            rule.targets.create(queue=queue, weight=weight)
    known = read_routes()
    kept_routes()
    with django_assert_num_queries(0):
        kept = kept_routes()
        assert [(row.pk, row.queue_id, row.condition, row.balance) for row in kept.rules] == [
            (row.pk, row.queue_id, row.condition, row.balance) for row in known.rules
        ]
        assert [row.queue and row.queue.pool.memory_mib for row in kept.rules] == [
            row.queue and row.queue.pool.memory_mib for row in known.rules
        ]
        assert [(row.queue.name, row.weight) for row in kept.targets[rule.pk]] == [
            (queue.name, weight) for weight, queue in enumerate(queues, start=1)
        ]
        assert {tier: queue.name for tier, queue in kept.tier_queues.items()} == {
            tier: queue.name for tier, queue in known.tier_queues.items()
        }
