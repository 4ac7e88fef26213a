"""Subscriptions of webhooks to job events: by API and console, and the body of their deliveries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.models import Job
from scheduling.subscriptions.relay import EventRelayer
from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tests.integration.api.test_access import API, assert_problem
from tests.integration.streams.sessions import wait_for_older_transactions
from tests.integration.workloads.webhooks.conftest import Run
from tests.web_server import WebServer
from workloads.webhooks.models import Webhook

pytestmark = pytest.mark.usefixtures("transactional_db")
BODY = {"name": "ops", "url": "https://example.com/hook"}


def make(api: APIClient, **values: Any) -> dict[str, Any]:
    answer = api.post(API + "webhooks/", BODY | values)
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["webhook"])


def last_entry(action: str) -> AuditLogEntry:
    with all_tenants():
        return AuditLogEntry.objects.filter(action=action).latest("pk")


def test_end_of_a_job_is_delivered(acme_api: APIClient, run: Run, server: WebServer) -> None:
    webhook = make(acme_api, url=f"{server.url}/hook", events=["job.completed"], filter="kind:noop")
    posted = acme_api.post(API + "jobs/", {"kind": "noop", "tags": ["night"]}).json()
    with all_tenants():
        job = Job.objects.get(pk=posted["id"])
    run(job)
    wait_for_older_transactions()
    assert EventRelayer().take_turn() == 1
    with all_tenants():
        delivery = Job.objects.get(kind="webhook_delivery")
    assert run(delivery).state == "completed"
    (seen,) = server.seen
    sent = json.loads(seen.body)
    assert (sent["type"], sent["id"]) == ("job.completed", seen.headers["Webhook-Id"])
    assert (sent["data"]["job"], sent["data"]["state"], sent["data"]["tags"]) == (str(job.pk), "completed", ["night"])
    events = acme_api.get(API + f"jobs/{job.pk}/events/").json()["results"]
    (ended,) = [event for event in events if event["name"] == "execution.completed"]
    assert sent["data"]["event"] == ended["id"]
    assert sent["timestamp"].removesuffix("+00:00") == ended["at"].removesuffix("Z")
    (row,) = acme_api.get(API + f"webhooks/{webhook['id']}/deliveries/").json()["results"]
    assert (row["event"], row["delivered"]) == ("job.completed", True)


def test_webhook_without_events_gets_no_job_events(acme_api: APIClient) -> None:
    webhook = make(acme_api)
    assert (webhook["events"], webhook["filter"]) == ([], "")
    with all_tenants():
        assert Webhook.objects.get().events_since is None


def test_webhook_change_is_audited_with_the_former_values(acme_api: APIClient) -> None:
    webhook = make(acme_api, events=["job.discarded"])
    path = API + f"webhooks/{webhook['id']}/"
    changes = {"events": ["job.discarded", "job.completed"], "filter": "tag:night  kind:noop"}
    answer = acme_api.patch(path, changes)
    assert answer.status_code == 200, answer.content
    assert answer.json() == acme_api.get(path).json()
    assert answer.json()["events"] == ["job.completed", "job.discarded"]
    assert answer.json()["filter"] == "tag:night kind:noop"
    entry = last_entry("webhook.changed")
    assert entry.before == {"events": ["job.discarded"], "job_filter": ""}
    assert entry.after == {"events": ["job.completed", "job.discarded"], "job_filter": "tag:night kind:noop"}
    count = AuditLogEntry.objects
    acme_api.patch(path, changes)
    with all_tenants():
        assert count.filter(action="webhook.changed").count() == 1


def test_changed_events_keep_the_start_of_the_subscription(acme_api: APIClient) -> None:
    webhook = make(acme_api, events=["job.completed"])
    path = API + f"webhooks/{webhook['id']}/"
    with all_tenants():
        began = Webhook.objects.get().events_since
    acme_api.patch(path, {"events": ["job.completed", "job.cancelled"]})
    with all_tenants():
        assert Webhook.objects.get().events_since == began
    acme_api.patch(path, {"events": []})
    acme_api.patch(path, {"events": ["job.completed"]})
    with all_tenants():
        assert Webhook.objects.get().events_since > began


def test_stale_change_is_refused(acme_api: APIClient) -> None:
    webhook = make(acme_api)
    path = API + f"webhooks/{webhook['id']}/"
    tag = acme_api.get(path).headers["ETag"]
    assert acme_api.patch(path, {"name": "other"}, headers={"If-Match": tag}).status_code == 200
    assert_problem(acme_api.patch(path, {"name": "third"}, headers={"If-Match": tag}), 412, "stale")


@pytest.mark.parametrize(
    ("values", "status", "code", "field"),
    [
        ({"events": ["job.submitted"]}, 422, None, "events.0"),
        ({"filter": "state:discarded"}, 422, "filter_not_judged", "filter"),
        ({"filter": "kid:noop"}, 400, "filter_syntax", "filter"),
        ({"url": "ftp://example.com/"}, 422, "webhook_url", "url"),
    ],
)
def test_invalid_subscription_is_refused(
    acme_api: APIClient, values: dict[str, Any], status: int, code: str | None, field: str
) -> None:
    webhook = make(acme_api)
    for answer in (
        acme_api.post(API + "webhooks/", BODY | {"name": "new"} | values),
        acme_api.patch(API + f"webhooks/{webhook['id']}/", values),
    ):
        assert answer.status_code == status, answer.content
        assert answer.json()["errors"][0]["field"] == field
        assert code in (None, answer.json()["code"])


def test_taken_name_and_foreign_webhook_are_refused(acme_api: APIClient, globex_api: APIClient) -> None:
    first = make(acme_api)
    make(acme_api, name="other")
    path = API + f"webhooks/{first['id']}/"
    assert_problem(acme_api.patch(path, {"name": "other"}), 409, "webhook_name_taken")
    assert_problem(globex_api.patch(path, {"name": "mine"}), 404, "not_found")


def test_console_shows_the_error_beside_the_field(acme_user: User) -> None:
    client = Client()
    client.force_login(acme_user)
    add = reverse("admin:webhooks_webhook_add")
    refused = client.post(add, BODY | {"events": ["job.completed"], "job_filter": "age:>1h"})
    assert refused.status_code == 200
    assert "These fields cannot be used here: age." in str(refused.context["adminform"].form.errors["job_filter"])
    made = client.post(add, BODY | {"events": ["job.completed"], "job_filter": "kind:noop"})
    assert "whsec_" in made.content.decode()
    with all_tenants():
        webhook = Webhook.objects.get()
    change = reverse("admin:webhooks_webhook_change", args=[webhook.pk])
    seen = client.get(change).context["adminform"].form["seen"].value()
    assert client.post(change, BODY | {"job_filter": "kind:sleep", "seen": seen}).status_code == 302
    with all_tenants():
        webhook.refresh_from_db()
    assert (webhook.events, webhook.job_filter, webhook.events_since) == ([], "kind:sleep", None)
