"""Cached configuration: a submission reads limits, routes and settings from memory; a change applies after expiry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Model
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from scheduling.jobs.kinds.service import get_job_kind, list_job_kinds
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.routing import service as routes_module
from scheduling.jobs.routing.service import Routes, cached_routes, read_routes
from scheduling.jobs.submission import submit_job
from scheduling.limits import admission
from scheduling.models import CFSPlanTier, Queue, RoutingRule, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.settings import schema as settings_module
from tests.platform_settings import override_platform_settings
from tests.prepared_statements import seen_statements

pytestmark = pytest.mark.django_db

CONFIGURATION = ("tenants_planlimit", "scheduling_routingrule", "tenants_tenantsettings")


@pytest.fixture
def forget(settings: Settings) -> Iterator[Callable[[], None]]:
    """Enable the caches; return a function that lets all values expire, in memory and in Redis."""
    caches = (admission._OF_SUBMISSION._kept, settings_module._kept, routes_module._kept)

    def empty() -> None:
        settings.CACHES = {"default": settings.CACHES["default"] | {"KEY_PREFIX": f"expired-{uuid4()}"}}
        for cache in caches:
            cache._kept.clear()

    empty()
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield empty
    empty()


def tenant_of(acme: Tenant) -> Tenant:
    with all_tenants():
        return Tenant.objects.select_related("plan").get(pk=acme.pk)


def statements_of_a_submission(tenant: Tenant) -> list[str]:
    with seen_statements() as prepared, CaptureQueriesContext(connection) as captured:
        submit_job(tenant=tenant, request=JobRequest(kind="noop"))
    return [*prepared, *(query["sql"] or "" for query in captured.captured_queries)]


def about_configuration(statements: list[str]) -> int:
    return sum(any(table in statement for table in CONFIGURATION) for statement in statements)


def test_second_submission_reads_no_configuration(acme: Tenant, forget: Callable[[], None]) -> None:
    tenant = tenant_of(acme)
    cold, warm = statements_of_a_submission(tenant), statements_of_a_submission(tenant)
    assert about_configuration(cold) == 3
    assert about_configuration(warm) == 0
    forget()
    assert about_configuration(statements_of_a_submission(tenant)) == 3


def test_changed_rule_applies_when_the_cache_expires(acme: Tenant, forget: Callable[[], None]) -> None:
    tenant = tenant_of(acme)
    other = Queue.objects.exclude(pk=Routes.load(tenant.plan.tier_id).queue_for("noop", {}, None).pk).first()
    assert other is not None
    with all_tenants():
        RoutingRule.objects.create(position=0, kind="noop", queue=other)
    assert Routes.load(tenant.plan.tier_id).queue_for("noop", {}, None) != other
    forget()
    assert Routes.load(tenant.plan.tier_id).queue_for("noop", {}, None) == other


def test_list_of_kinds_is_cached_as_long_as_the_routes(acme: Tenant, forget: Callable[[], None]) -> None:
    tenant = tenant_of(acme)
    kinds = list_job_kinds(tenant=tenant)
    with override_platform_settings(DIAGNOSTIC_KINDS=False):
        assert len(list_job_kinds(tenant=tenant)) < len(kinds)
    assert list_job_kinds(tenant=tenant) is kinds
    other = Queue.objects.exclude(name__in=get_job_kind("noop", tenant=tenant).queues).first()
    assert other is not None
    with all_tenants():
        RoutingRule.objects.create(position=0, kind="noop", queue=other)
    assert list_job_kinds(tenant=tenant) is kinds
    forget()
    assert get_job_kind("noop", tenant=tenant).queues == [other.name]


def test_cached_routes_equal_the_stored_ones(forget: Callable[[], None], django_assert_num_queries: Any) -> None:
    # Ordered by name, the last comes first.
    queues = sorted(Queue.objects.all(), key=lambda queue: queue.name, reverse=True)[:2]
    condition = {"field": "a", "op": "exists"}
    with all_tenants():
        rule = RoutingRule.objects.create(position=0, kind="noop", balance="weighted", condition=condition)
        for weight, queue in enumerate(queues, start=1):
            rule.targets.create(queue=queue, weight=weight)
        RoutingRule.objects.create(position=1, kind="noop", queue=queues[0], is_active=False)
        Queue.objects.filter(pk=queues[0].pk).update(paused_at=timezone.now(), cap=3)
    cached_routes()
    with django_assert_num_queries(0):
        kept = cached_routes()
        balanced = [(row.queue.name, row.weight) for row in kept.targets[rule.pk]]
        pools = {row.queue.pool.name for row in kept.rules if row.queue is not None}
    assert balanced == [(queues[1].name, 2), (queues[0].name, 1)]
    with all_tenants():
        stored = list(RoutingRule.objects.filter(is_active=True).order_by("position"))
        assert [model_to_dict(row) for row in kept.rules] == [model_to_dict(row) for row in stored]
        assert any(row.by_tier for row in stored)
        assert pools == {row.queue.pool.name for row in stored if row.queue is not None}
        (first,) = (row.queue for row in kept.targets[rule.pk] if row.queue_id == queues[0].pk)
        assert whole(first) == whole(Queue.objects.get(pk=first.pk))
        assert whole(first.pool) == whole(WorkerPool.objects.get(pk=first.pool_id))
        tiers = CFSPlanTier.objects.filter(plan__is_active=True).select_related("queue", "io_queue")
        assert {
            (tier, region): {name: whole(queue) for name, queue in queues.items()}
            for tier, regions in kept.tier_queues.items()
            for region, queues in regions.items()
        } == {
            (row.tier_id, row.region): {"cpu": whole(row.queue), "io": whole(row.io_queue or row.queue)}
            for row in tiers
        }


def whole(row: Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_routes_without_configuration_are_empty() -> None:
    with all_tenants():
        RoutingRule.objects.all().delete()
        CFSPlanTier.objects.all().delete()
        known = read_routes()
    assert (known.rules, known.targets, known.tier_queues) == ([], {}, {})
