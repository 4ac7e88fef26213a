"""Events of other systems: each is accepted once, and starts the jobs of the tenant's triggers in one transaction."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from scheduling.inbox.service import EVENT_TRIGGERS, receive_event
from scheduling.jobs.job_templates.service import TemplateContent, create_template
from scheduling.models import EventTrigger, InboxEvent, Job
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.api.test_access import API, assert_problem

pytestmark = pytest.mark.usefixtures("transactional_db")
EVENT: dict[str, Any] = {"topic": "order.paid", "source": "shop", "id": "4711", "data": {"seconds": 0}}


@pytest.fixture
def api(acme: Tenant, api_client: Any) -> APIClient:
    client: APIClient = api_client(acme)
    return client


def trigger(tenant: Tenant, name: str = "orders", **values: Any) -> EventTrigger:
    with tenant_context(tenant):
        return EVENT_TRIGGERS.save(
            EventTrigger(), {"name": name, "topic": "order.*", "kind": "noop", **values}
        )  # fmt: skip


def jobs() -> list[Job]:
    with all_tenants():
        return list(Job.objects.order_by("pk"))


def test_event_starts_the_jobs_of_its_triggers_once(acme: Tenant, globex: Tenant, api: APIClient) -> None:
    create_template(tenant=acme, name="greeting", content=TemplateContent(kind="noop"))
    trigger(acme)
    trigger(acme, "by-template", kind="", template="greeting", topic="order.paid")
    trigger(acme, "other", topic="invoice.*")
    trigger(acme, "off", is_enabled=False)
    trigger(globex)
    answer = api.post(API + "events/", {**EVENT, "data": {}}, format="json")
    assert answer.status_code == 201, answer.content
    assert [str(job.pk) for job in jobs()] == answer.json()["jobs"]
    assert [job.tenant_id for job in jobs()] == [acme.pk] * 2
    again = api.post(API + "events/", {**EVENT, "data": {}}, format="json")
    assert (again.status_code, again.json()["is_duplicate"]) == (200, True)
    assert again.json()["jobs"] == answer.json()["jobs"]
    assert len(jobs()) == 2
    (row,) = api.get(API + "events/").json()["results"]
    assert (row["source"], row["event_id"], row["topic"]) == ("shop", "4711", "order.paid")
    with all_tenants():
        assert AuditLogEntry.objects.get(action="event.received").after["jobs"] == 2


def test_same_id_with_other_content_is_refused(api: APIClient) -> None:
    assert api.post(API + "events/", EVENT, format="json").status_code == 201
    other = api.post(API + "events/", {**EVENT, "data": {"seconds": 1}}, format="json")
    assert_problem(other, 409, "event_mismatch")
    assert api.post(API + "events/", {**EVENT, "source": "till"}, format="json").status_code == 201


def test_refused_job_refuses_the_event_which_may_be_sent_again(acme: Tenant, api: APIClient) -> None:
    trigger(acme)
    row = trigger(acme, "strict", kind="sleep")
    refused = api.post(API + "events/", {**EVENT, "data": {"seconds": "soon"}}, format="json")
    assert refused.status_code == 422
    assert not jobs()
    with tenant_context(acme):
        assert not InboxEvent.objects.exists()
        EVENT_TRIGGERS.save(row, {"is_enabled": False})
    assert api.post(API + "events/", {**EVENT, "data": {"seconds": "soon"}}, format="json").status_code == 201
    assert len(jobs()) == 1


def test_event_that_arrives_many_times_at_once_starts_one_job(acme: Tenant) -> None:
    trigger(acme)
    together, duplicates = threading.Barrier(6), []

    def send() -> None:
        together.wait()
        try:
            receipt = receive_event(tenant=acme, topic="order.paid", source="shop", event_id="1", data={})
            duplicates.append(receipt.is_duplicate)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(duplicates) == [False] + [True] * 5
    assert len(jobs()) == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"topic": "Order"}, 422),
        ({"topic": "order paid"}, 422),
        ({"source": ""}, 422),
        ({"id": "i" * 201}, 422),
        ({"data": []}, 422),
        ({"data": {"text": "x" * 70_000}}, 413),
        ({"extra": 1}, 422),
    ],
)
def test_malformed_event_is_refused(api: APIClient, changes: dict[str, Any], status: int) -> None:
    answer = api.post(API + "events/", {**EVENT, **changes}, format="json")
    assert answer.status_code == status, answer.content


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "nothing"}, "kind"),
        ({"kind": "outbox_delivery"}, "kind"),
        ({"kind": "", "template": ""}, "kind"),
        ({"template": "greeting"}, "kind"),
        ({"kind": "", "template": "nothing"}, "template"),
        ({"topic": "*.paid"}, "topic"),
    ],
)
def test_trigger_that_could_start_nothing_is_refused(acme: Tenant, changes: dict[str, str], field: str) -> None:
    with pytest.raises(FieldInvalidError) as refused:
        trigger(acme, **changes)
    assert refused.value.errors[0]["field"] == field
