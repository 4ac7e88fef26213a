"""Configuration of whom alerts notify: by members for their tenant, by platform staff for the platform."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.models import AlertMessage, AlertNotice, AlertSilence, Contact, ContactGroup
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Role, Tenant
from tenants.secrets.signing import unseal
from tests.integration.api.conftest import session_of
from tests.integration.api.test_access import API, assert_problem

pytestmark = pytest.mark.django_db

SLACK = "https://hooks.slack.com/services/T0/B0/abcd"


@pytest.fixture
def api(acme_user: User) -> APIClient:
    return session_of(acme_user)


@pytest.fixture
def foreign_api(globex_user: User) -> APIClient:
    return session_of(globex_user)


def make(api: APIClient, path: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"{API}{path}/", body)
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def test_target_is_sealed_and_shown_by_its_host_and_end(api: APIClient, acme: Tenant) -> None:
    make(api, "contact-groups", name="ops")
    shown = make(api, "contacts", group="ops", channel="slack", target=SLACK)
    assert (shown["label"], shown["group"]) == ("hooks.slack.com …abcd", "ops")
    with all_tenants():
        contact = Contact.objects.get(pk=shown["id"])
        entry = AuditLogEntry.objects.get(action="contact.created")
    assert (contact.tenant_id, unseal(contact.sealed_target)) == (acme.pk, SLACK)
    everything = f"{shown} {api.get(API + 'contacts/').content!r} {entry.after}"
    assert SLACK not in everything
    assert contact.sealed_target not in everything


def test_secret_of_a_webhook_is_in_the_creating_answer_only(api: APIClient) -> None:
    make(api, "contact-groups", name="ops")
    shown = make(api, "contacts", group="ops", channel="webhook", target="https://example.com/hook")
    assert shown["secret"].startswith("whsec_")
    assert shown["secret"] not in api.get(f"{API}contacts/{shown['id']}/").content.decode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"channel": "slack", "target": "ftp://example.com/"}, "target"),
        ({"channel": "slack"}, "target"),
        ({"channel": "mail", "target": "no address"}, "target"),
        ({"channel": "mail", "target": "stranger@example.com"}, "target"),
        ({"channel": "role"}, "roles"),
        ({"channel": "role", "roles": ["admin"]}, "roles"),
        ({"channel": "pagerduty", "target": "short"}, "target"),
        ({"channel": "slack", "target": SLACK, "group": "none"}, "group"),
    ],
)
def test_contact_that_cannot_be_reached_is_refused(api: APIClient, body: dict[str, Any], field: str) -> None:
    make(api, "contact-groups", name="ops")
    answer = api.post(API + "contacts/", {"group": "ops", **body})
    assert_problem(answer, 422, "field_invalid")
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


def test_tenants_mail_may_name_its_members(api: APIClient, acme: Tenant) -> None:
    add_member(tenant=acme, user=User.objects.create_user("bob", email="bob@example.com"), role=Role.VIEWER)
    make(api, "contact-groups", name="ops")
    assert make(api, "contacts", group="ops", channel="mail", target="Bob@example.com")["label"] == "B…@example.com"


def test_rows_of_a_tenant_are_invisible_to_others(api: APIClient, foreign_api: APIClient) -> None:
    group = make(api, "contact-groups", name="ops")
    contact = make(api, "contacts", group="ops", channel="slack", target=SLACK)
    for path in (f"contact-groups/{group['id']}/", f"contacts/{contact['id']}/"):
        assert_problem(foreign_api.get(API + path), 404, "not_found")
        assert_problem(foreign_api.delete(API + path), 404, "not_found")
    assert foreign_api.get(API + "contacts/").json()["results"] == []


def test_another_default_group_takes_the_place_of_the_former(api: APIClient, acme: Tenant) -> None:
    make(api, "contact-groups", name="one", is_default=True)
    make(api, "contact-groups", name="two", is_default=True)
    with all_tenants():
        assert ContactGroup.objects.get(tenant=acme, is_default=True).name == "two"
        assert ContactGroup.objects.get(tenant=None, is_default=True).name == "Platform admins"
    assert_problem(api.post(API + "contact-groups/", {"name": "one"}), 409, "configuration_taken")


def test_test_is_queued_for_the_contact_three_times_a_minute(api: APIClient) -> None:
    make(api, "contact-groups", name="ops")
    contact = make(api, "contacts", group="ops", channel="slack", target=SLACK)
    url = f"{API}contacts/{contact['id']}/test/"
    sent = [api.post(url, {}) for _ in range(4)]
    assert [answer.status_code for answer in sent] == [202, 202, 202, 429]
    shown = api.get(f"{API}alert-messages/{sent[0].json()['id']}/").json()
    assert (shown["state"], shown["what"]) == ("queued", "test")
    with all_tenants():
        message = AlertMessage.objects.get(pk=shown["id"])
    assert message.job_id is not None
    assert contact["label"] in message.body["text"]


def test_deleted_contact_takes_its_messages_with_it(api: APIClient) -> None:
    make(api, "contact-groups", name="ops")
    contact = make(api, "contacts", group="ops", channel="slack", target=SLACK)
    api.post(f"{API}contacts/{contact['id']}/test/", {})
    assert api.delete(f"{API}contacts/{contact['id']}/").status_code == 204
    with all_tenants():
        assert not AlertMessage.objects.exists()
        assert not AlertNotice.objects.exists()


def test_enabled_contact_begins_anew(api: APIClient) -> None:
    make(api, "contact-groups", name="ops")
    contact = make(api, "contacts", group="ops", channel="slack", target=SLACK)
    with all_tenants():
        Contact.objects.filter(pk=contact["id"]).update(is_enabled=False, failures=10, disabled_reason="410")
    shown = api.post(f"{API}contacts/{contact['id']}/enable/", {"reason": "corrected"}).json()
    assert (shown["is_enabled"], shown["failures"], shown["disabled_reason"]) == (True, 0, "")


def test_silence_lasts_at_most_thirty_days_and_ends_early(api: APIClient) -> None:
    later = (timezone.now() + timedelta(days=31)).isoformat()
    assert_problem(api.post(API + "alert-silences/", {"ends_at": later, "reason": "x"}), 422, "field_invalid")
    silence = make(api, "alert-silences", only_kind="noop", reason="maintenance", is_maintenance=True)
    assert api.post(f"{API}alert-silences/{silence['id']}/end/", {}).status_code == 200
    with all_tenants():
        row = AlertSilence.objects.get(pk=silence["id"])
    assert row.ends_at <= timezone.now()
    assert row.ended_by


def test_platform_makes_rows_of_its_own_without_naming_a_tenant(staff: User) -> None:
    api = session_of(staff)
    shown = make(api, "contacts", group="Platform admins", channel="mail", target="duty@example.com")
    assert (shown["tenant"], shown["label"]) == (None, "d…@example.com")
    owner = make(api, "alert-owners", target="queue", name="dataset", group="Platform admins")
    assert (owner["target"], owner["name"], owner["group"]) == ("queue", "dataset", "Platform admins")
    assert_problem(
        api.post(API + "alert-routes/", {"position": 1, "group": "Platform admins", "zone": "Mars"}),
        422,
        "field_invalid",
    )
