"""Stale forms: one opened before another user's change is refused, names the change, and keeps the input."""

from __future__ import annotations

import base64
import html
import re
import threading
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.forms import BoundField
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule

from scheduling.alerts.config import GROUPS
from scheduling.jobs.job_templates.service import TemplateContent, create_template, update_template
from scheduling.models import CFSPlan, ContactGroup, Queue, RoutingRule, Schedule, WorkerPool
from scheduling.plans.service import update_cfs_plan
from scheduling.schedules.definitions import create_schedule, pause_schedule, update_schedule
from scheduling.topology.service import create_routing_rule, update_queue, update_routing_rule, update_worker_pool
from tenants.access.memberships import add_member, change_role
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants, tenant_context
from tenants.limits.service import set_tenant_limit
from tenants.models import Plan, Role, Tenant, Tier
from tenants.plans.service import update_plan, update_tier
from tenants.secrets.service import create_secret, rotate_secret
from tenants.settings.service import change_settings
from tenants.tenancy.service import update_tenant
from tests.integration.access.world import DEFINITION
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.service import create_dataset, update_dataset
from workloads.model_endpoints.service import create_endpoint, update_endpoint
from workloads.pipelines.node_types import chain
from workloads.pipelines.service import create_pipeline, update_pipeline
from workloads.webhooks.service import create_webhook, update_webhook
from workloads.workflows.service import create_workflow, update_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def master_key(change_platform_settings: ChangePlatformSettings) -> None:
    """Set a master key, which stored secrets need."""
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"m" * 32).decode()])


@pytest.fixture
def client(staff: User) -> Client:
    made = Client()
    made.force_login(staff)
    return made


def address(row: Any) -> str:
    page = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return f"{page}?edit=1" if isinstance(row, Tenant) else page


def inputs_of(client: Client, url: str) -> dict[str, Any]:
    """Return what a browser sends of an opened form."""
    context = client.get(url).context
    forms = [context["adminform"].form]
    for formset in context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    return dict(pair for form in forms for field in form for pair in sent_of(field))


def sent_of(field: BoundField) -> list[tuple[str, Any]]:
    if field.field.disabled:
        return []
    value = field.value()
    names = getattr(field.field.widget, "widgets_names", None)
    if names is not None:
        parts = field.field.widget.decompress(value)
        return [(f"{field.html_name}{name}", part or "") for name, part in zip(names, parts, strict=True)]
    if isinstance(value, bool):
        return [(field.html_name, "on")] if value else []
    if isinstance(value, list):
        return [(field.html_name, value)]
    return [(field.html_name, "" if value is None else value)]


def words_of(page: Any) -> str:
    return html.unescape(re.sub(r"\s+", " ", page.content.decode()))


def faults_of(page: Any) -> Any:
    """Return the errors of a form."""
    if page.status_code == 302:
        return None
    return page.context["adminform"].form.errors, [
        each.formset.errors for each in page.context["inline_admin_formsets"]
    ]


def tenant_of(slug: str = "acme") -> Tenant:
    with all_tenants():
        return Tenant.objects.get(slug=slug)


def limit_of(acme: Tenant) -> Any:
    return set_tenant_limit(tenant=acme, key="submit_burst", value=5, reason="x")


def schedule_of(acme: Tenant) -> Schedule:
    return create_schedule(tenant=acme, values={"name": "nightly", "kind": "noop", "cron": "30 2 * * *"})


def rule_of() -> RoutingRule:
    queue = Queue.objects.get(name="dataset")
    return create_routing_rule(values={"position": 900, "kind": "noop", "balance": "weighted"}, targets={queue.pk: 2})


def interval_of() -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=7, period="hours")


# A row, another user's change, this user's input, and the expected message.
EDITS: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "tenants.tenant": (
        lambda given: given["acme"],
        lambda row: update_tenant(tenant=row, changes={"name": "Overtaken"}),
        {"name": "Typed"},
        "Name is now Overtaken",
    ),
    "tenants.tier": (
        lambda given: Tier.objects.get(slug="team"),
        lambda row: update_tier(tier=row, changes={"name": "Overtaken"}),
        {"name": "Typed"},
        "Name is now Overtaken",
    ),
    "tenants.plan": (
        lambda given: Plan.objects.get(slug="team"),
        lambda row: update_plan(plan=row, changes={"weight": 7}),
        {"weight": 9},
        "Changes: Weight is now 7.",
    ),
    "tenants.tenantlimit": (
        lambda given: limit_of(given["acme"]),
        lambda row: set_tenant_limit(tenant=row.tenant, key=row.key, value=7, reason="y"),
        {"value": 9, "reason": "z"},
        "Value is now 7; Reason is now y",
    ),
    "tenants.membership": (
        lambda given: add_member(tenant=given["acme"], user=given["outsider"], role=Role.VIEWER),
        lambda row: change_role(membership=row, role=Role.DEVELOPER),
        {"role": "owner"},
        "Role is now Developer",
    ),
    "tenants.platformmembership": (
        lambda given: grant_platform_role(user=given["outsider"], role="operator"),
        lambda row: grant_platform_role(user=row.user, role="auditor"),
        {"role": "admin"},
        "Role is now Auditor",
    ),
    "auth.user": (
        lambda given: given["outsider"],
        lambda row: User.objects.filter(pk=row.pk).update(email="overtaken@example.com"),
        {"email": "typed@example.com"},
        "Email address is now overtaken@example.com",
    ),
    "scheduling.queue": (
        lambda given: Queue.objects.get(name="dataset"),
        lambda row: update_queue(queue=row, changes={"weight": 7}),
        {"weight": 9, "reason": "x"},
        "Weight is now 7",
    ),
    "scheduling.workerpool": (
        lambda given: WorkerPool.objects.get(name="default"),
        lambda row: update_worker_pool(pool=row, changes={"description": "Overtaken"}),
        {"description": "Typed", "reason": "x"},
        "Description is now Overtaken",
    ),
    "scheduling.routingrule": (
        lambda given: rule_of(),
        lambda row: update_routing_rule(rule=row, changes={}, targets={Queue.objects.get(name="dataset").pk: 7}),
        {"position": 901},
        "Queues is now dataset × 7",
    ),
    "scheduling.cfsplan": (
        lambda given: CFSPlan.objects.get(name="cloud"),
        lambda row: update_cfs_plan(plan=row, fields={"granularity_seconds": 77}),
        {"granularity_seconds": 99},
        "Changes: Time slice (s) is now 77.",
    ),
    "scheduling.schedule": (
        lambda given: schedule_of(given["acme"]),
        lambda row: update_schedule(schedule_id=row.pk, changes={"priority": 1}),
        {"priority": 2},
        "Priority is now 1",
    ),
    "retrieval.dataset": (
        lambda given: create_dataset(tenant=given["acme"], name="handbook"),
        lambda row: update_dataset(dataset=row, description="Overtaken"),
        {"description": "Typed"},
        "Description is now Overtaken",
    ),
    "rag_pipeline.pipeline": (
        lambda given: create_pipeline(
            tenant=given["acme"],
            name="pages",
            definition=chain(load={"dataset": str(create_dataset(tenant=given["acme"], name="library").pk)}),
        ),
        lambda row: update_pipeline(pipeline_id=row.pk, description="Overtaken"),
        {"description": "Typed"},
        "Description is now Overtaken",
    ),
    "scheduling.jobtemplate": (
        lambda given: create_template(tenant=given["acme"], name="nightly", content=TemplateContent("noop")),
        lambda row: update_template(template=row, description="Overtaken"),
        {"description": "Typed"},
        "Description is now Overtaken",
    ),
    "model_endpoints.modelendpoint": (
        lambda given: create_endpoint(tenant=given["acme"], name="models", url="https://example.com/v1"),
        lambda row: update_endpoint(endpoint_id=row.pk, changes={"read_seconds": 30.0}),
        {"read_seconds": 45},
        "Read timeout, in seconds is now 30",
    ),
    "webhooks.webhook": (
        lambda given: create_webhook(tenant=given["acme"], name="ops", url="https://example.com/").webhook,
        lambda row: update_webhook(webhook_id=row.pk, changes={"job_filter": "kind:noop"}),
        {"job_filter": "kind:sleep"},
        "Job filter is now kind:noop",
    ),
    "workflow_execution.workflow": (
        lambda given: create_workflow(tenant=given["acme"], name="greeting", definition=DEFINITION),
        lambda row: update_workflow(workflow=row, description="Overtaken"),
        {"description": "Typed"},
        "Description is now Overtaken",
    ),
    "tenants.tenantsecret": (
        lambda given: create_secret(tenant=given["acme"], name="api", value="the first value", hosts=["a.example"]),
        lambda row: rotate_secret(secret_id=row.pk, value="the second value"),
        {"value": "the third value"},
        "Version is now 2",
    ),
    "scheduling.contactgroup": (
        lambda given: GROUPS.save(ContactGroup(), {"name": "On call"}),
        lambda row: GROUPS.save(row, {"name": "Overtaken"}),
        {"name": "Typed"},
        "Name is now Overtaken",
    ),
    "django_celery_beat.intervalschedule": (
        lambda given: interval_of(),
        lambda row: IntervalSchedule.objects.filter(pk=row.pk).update(every=77),
        {"every": 99},
        "Number of Periods is now 77",
    ),
}
# Pages with a change form that are covered by others of the same base class.
LIKE = {
    **dict.fromkeys(
        (
            "scheduling.alertowner",
            "scheduling.alertroute",
            "scheduling.alertrule",
            "scheduling.alertsilence",
            "scheduling.contact",
            "scheduling.investigation",
            "scheduling.eventtrigger",
            "triggers.webhooktrigger",
            "document_sources.contentsource",
            "scheduling.evidencepack",
            "scheduling.evidenceschedule",
            "scheduling.objective",
            "scheduling.priorityrule",
            "scheduling.controlrule",
            "scheduling.outboxroute",
            "scheduling.sheddingrule",
            "tenants.approvalrule",
            "tenants.claimrule",
            "tenants.tenantrole",
            "scheduling.backupplan",
        ),
        "scheduling.contactgroup",
    ),
    "retrieval.chunk": "retrieval.dataset",
    "django_celery_beat.clockedschedule": "django_celery_beat.intervalschedule",
    "django_celery_beat.crontabschedule": "django_celery_beat.intervalschedule",
    "django_celery_beat.periodictask": "django_celery_beat.intervalschedule",
    "django_celery_beat.solarschedule": "django_celery_beat.intervalschedule",
}


@pytest.fixture
def given(acme: Tenant, outsider: User) -> dict[str, Any]:
    return {"acme": acme, "outsider": outsider}


def test_every_page_that_changes_rows_is_covered() -> None:
    changing = {
        model._meta.label_lower
        for model, page in admin.site._registry.items()
        if getattr(page, "change_permission", None) is not None
    }
    assert changing == set(EDITS) | set(LIKE)


@pytest.mark.parametrize("label", EDITS)
def test_stale_form_names_the_change_and_keeps_the_input(given: dict[str, Any], client: Client, label: str) -> None:
    make, overtake, typed, words = EDITS[label]
    with all_tenants():
        row = make(given)
    url = address(row)
    opened = inputs_of(client, url)
    with all_tenants():
        overtake(row)
        stored = type(row)._base_manager.filter(pk=row.pk).values().get()
    refused = client.post(url, opened | typed)
    assert refused.status_code == 200, refused.headers.get("Location")
    assert words in words_of(refused)
    form = refused.context["adminform"].form
    assert {name: form.data[name] for name in typed} == {name: str(value) for name, value in typed.items()}
    with all_tenants():
        assert type(row)._base_manager.filter(pk=row.pk).values().get() == stored, "nothing of it is saved"
    # The page now contains the current version marks, so that sending it again saves.
    again = {**opened, **typed, **{name: form.data[name] for name in form.data if name.startswith("seen")}}
    saved = client.post(url, again)
    assert saved.status_code == 302, faults_of(saved)


@pytest.mark.parametrize("label", EDITS)
def test_current_form_is_saved(given: dict[str, Any], client: Client, label: str) -> None:
    make, _, typed, _ = EDITS[label]
    with all_tenants():
        row = make(given)
    url = address(row)
    saved = client.post(url, inputs_of(client, url) | typed)
    assert saved.status_code == 302, faults_of(saved)


def test_invalid_version_marks_are_refused(given: dict[str, Any], client: Client) -> None:
    url = address(given["acme"])
    for wrong in ("{", "[]", "7", "\x00"):
        page = client.post(url, inputs_of(client, url) | {"name": "Typed", "seen": wrong})
        assert page.status_code == 200
        assert "Reload the page" in words_of(page)
    assert tenant_of().name == "Acme"


def test_schedule_paused_in_between_is_named(given: dict[str, Any], client: Client) -> None:
    schedule = schedule_of(given["acme"])
    url = address(schedule)
    opened = inputs_of(client, url)
    with tenant_context(given["acme"]):
        pause_schedule(schedule_id=schedule.pk, reason="holiday")
    page = client.post(url, opened | {"priority": 2})
    assert "State is now paused: holiday" in words_of(page)


def test_stale_settings_name_the_change_and_keep_the_input(given: dict[str, Any], client: Client) -> None:
    acme = given["acme"]
    url = reverse("admin:tenants_tenantsettings_of", args=[acme.pk])
    form = client.get(url).context["form"]
    opened = dict(pair for field in form for pair in sent_of(field) if pair[1] is not None)
    change_settings(tenant=acme, values={"timezone": "Asia/Tokyo"})
    refused = client.post(url, opened | {"jobs.default_priority": 3})
    assert refused.status_code == 422
    assert "is now Asia/Tokyo" in words_of(refused)
    drawn = refused.context["form"]
    assert drawn["jobs.default_priority"].value() == "3"
    again = opened | {"jobs.default_priority": 3, "version": drawn.data["version"], "seen": drawn.data["seen"]}
    assert client.post(url, again | {"timezone": "Asia/Tokyo"}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_concurrent_saves_refuse_one(staff: User, acme: Tenant) -> None:
    """Save two forms that were opened before; they must not deadlock."""
    clients = [Client(), Client()]
    for each in clients:
        each.force_login(staff)
    url = address(Queue.objects.get(name="dataset"))
    forms = [inputs_of(each, url) | {"weight": weight} for each, weight in zip(clients, (7, 9), strict=True)]
    barrier, statuses = threading.Barrier(2), []

    def save(number: int) -> None:
        try:
            barrier.wait(timeout=30)
            statuses.append(clients[number].post(url, forms[number]).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 302]
