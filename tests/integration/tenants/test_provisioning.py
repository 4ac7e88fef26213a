"""Provisioning: a tenant, its owner's invitation and its first key by one call, form or command."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.test import APIClient

from tenants.access.caller import authenticate_api_key
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import PlanNotFoundError, ScopeUnknownError, SettingUnknownError, SlugTakenError
from tenants.models import ApiKey, AuditLogEntry, Invitation, Membership, Plan, Role, Tenant, TenantStatus
from tenants.settings.schema import tenant_setting
from tenants.tenancy.provisioning import FIRST_KEY_SCOPES, NewTenant, ProvisionedTenant, provision_tenant

pytestmark = pytest.mark.django_db

TENANTS = "/api/v1/tenants/"
BODY = {"slug": "initech", "name": "Initech", "plan": "team", "owner": "bill@initech.example"}


def provision(**changes: Any) -> ProvisionedTenant:
    return provision_tenant(wanted=NewTenant(**{**BODY, **changes}), link_of=lambda token: f"https://x/{token}")


@pytest.fixture
def platform(staff: User) -> APIClient:
    client = APIClient()
    client.force_login(staff)
    return client


@pytest.fixture
def console(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def counts() -> tuple[int, int, int]:
    with all_tenants():
        return Tenant.objects.count(), Invitation.objects.count(), ApiKey.objects.count()


def test_provisioned_tenant_has_an_invited_owner_and_a_narrow_key() -> None:
    made = provision(settings={"timezone": "Asia/Tokyo"})
    assert (made.is_new, made.tenant.slug, made.tenant.plan.slug) == (True, "initech", "team")
    assert made.link is not None
    assert made.token is not None
    with all_tenants():
        invitation, key = Invitation.objects.get(), ApiKey.objects.get()
        assert not Membership.objects.exists()
    assert (invitation.invitee, invitation.role) == ("bill@initech.example", Role.OWNER)
    assert tuple(key.scopes) == FIRST_KEY_SCOPES
    assert authenticate_api_key(token=made.token) is not None
    with tenant_context(made.tenant):
        assert tenant_setting(made.tenant, "timezone") == "Asia/Tokyo"


def test_provisioning_leaves_one_audit_entry_without_secrets() -> None:
    made = provision()
    assert made.token is not None
    with all_tenants():
        entry = AuditLogEntry.objects.get(tenant=made.tenant)
    assert (entry.action, entry.after["owner"]) == ("tenant.created", "bill@initech.example")
    assert (entry.after["prefix"], entry.after["scopes"]) == (made.token.partition(".")[0], list(FIRST_KEY_SCOPES))
    assert made.token.partition(".")[2] not in json.dumps(entry.after)


def test_repeated_call_returns_the_tenant_without_secrets() -> None:
    first = provision()
    again = provision()
    assert (again.is_new, again.link, again.token) == (False, None, None)
    assert (again.tenant, again.invitation, again.api_key) == (first.tenant, first.invitation, first.api_key)
    assert counts() == (1, 1, 1)


def test_repeated_call_returns_the_tenant_after_a_change_of_the_secret_key(settings: Settings) -> None:
    provision()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "n" * 50
    assert not provision().is_new


def test_omitted_name_equals_the_slug() -> None:
    provision(name="")
    assert not provision(name="initech").is_new


@pytest.mark.parametrize(
    "changes",
    [{"name": "Other"}, {"plan": "professional"}, {"owner": "x@y.example"}, {"scopes": ["jobs.view"]}],
)
def test_call_with_other_data_is_refused(changes: dict[str, Any]) -> None:
    provision()
    with pytest.raises(SlugTakenError):
        provision(**changes)
    assert counts() == (1, 1, 1)


def test_tenant_created_in_another_way_is_refused(acme: Tenant) -> None:
    with pytest.raises(SlugTakenError):
        provision(slug="acme")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"plan": "none"}, PlanNotFoundError),
        ({"scopes": ["tenants.manage"]}, ScopeUnknownError),
        ({"settings": {"none": 1}}, SettingUnknownError),
    ],
)
def test_refused_part_stores_nothing(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        provision(**changes)
    assert counts() == (0, 0, 0)


def test_api_answers_201_then_200_without_the_secrets(platform: APIClient) -> None:
    first = platform.post(TENANTS, BODY, format="json")
    assert (first.status_code, first["Cache-Control"]) == (201, "no-store")
    made = first.json()
    assert made["tenant"]["slug"] == "initech"
    assert made["invitation"]["link"].startswith("http://testserver/admin/invitation/?token=")
    assert made["invitation"]["role"] == "owner"
    again = platform.post(TENANTS, BODY, format="json")
    assert again.status_code == 200
    token, made["invitation"]["link"], made["api_key"]["token"] = made["api_key"]["token"], None, None
    assert again.json() == made
    assert authenticate_api_key(token=token) is not None


def test_api_answers_409_to_other_data(platform: APIClient) -> None:
    platform.post(TENANTS, BODY, format="json")
    answer = platform.post(TENANTS, {**BODY, "plan": "professional"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")


@pytest.mark.parametrize("wrong", [{"owner": "bill"}, {"slug": "A b"}, {"scopes": []}, {"colour": "red"}, {"plan": 7}])
def test_api_refuses_an_invalid_field(platform: APIClient, wrong: dict[str, Any]) -> None:
    answer = platform.post(TENANTS, {**BODY, **wrong}, format="json")
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json"), answer.content
    assert counts() == (0, 0, 0)


def test_api_refuses_the_slug_of_the_address_of_the_own_tenant(platform: APIClient) -> None:
    answer = platform.post(TENANTS, {**BODY, "slug": "me"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "field_invalid"), answer.content
    assert [fault["field"] for fault in answer.json()["errors"]] == ["slug"]
    assert counts() == (0, 0, 0)


def test_api_changes_name_plan_and_status(platform: APIClient, acme: Tenant) -> None:
    change = {"name": "Acme Inc.", "plan": "professional", "weight_factor": 2.5, "reason": "upgrade"}
    body = platform.patch(TENANTS + "acme/", change, format="json").json()
    assert (body["name"], body["plan"]) == ("Acme Inc.", "professional")
    body = platform.patch(TENANTS + "acme/", {"status": "suspended", "reason": "unpaid"}, format="json").json()
    assert (body["status"], body["status_reason"]) == ("suspended", "unpaid")
    body = platform.patch(TENANTS + "acme/", {"status": "active"}, format="json").json()
    assert body["status"] == "active"
    with all_tenants():
        row = Tenant.objects.get(pk=acme.pk)
        actions = list(AuditLogEntry.objects.filter(tenant=acme).order_by("id").values_list("action", "reason"))
    assert (str(row.weight_factor), row.status) == ("2.500", TenantStatus.ACTIVE)
    assert actions[-3:] == [("tenant.updated", "upgrade"), ("tenant.suspended", "unpaid"), ("tenant.reinstated", "")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"plan": "none"}, 404),
        ({"status": "gone"}, 422),
        ({"status": "suspended"}, 422),
        ({"slug": "other"}, 422),
        ({"weight_factor": 0}, 422),
    ],
)
def test_api_refuses_an_invalid_change(platform: APIClient, acme: Tenant, change: dict[str, Any], status: int) -> None:
    assert platform.patch(TENANTS + "acme/", change, format="json").status_code == status


def test_form_creates_a_tenant_and_shows_link_and_key_once(console: Client) -> None:
    with all_tenants():
        plan = Plan.objects.get(slug="team")
    page = console.post(reverse("admin:tenants_tenant_add"), {**BODY, "plan": plan.pk})
    assert (page.status_code, page["Cache-Control"].count("no-store")) == (200, 1), page.content[:500]
    made: ProvisionedTenant = page.context["made"]
    text = page.content.decode()
    assert str(made.link) in text
    assert str(made.token) in text
    assert reverse("admin:tenants_tenant_change", args=[made.tenant.pk]) in text


def test_form_requires_an_owner(console: Client) -> None:
    with all_tenants():
        plan = Plan.objects.get(slug="team")
    page = console.post(reverse("admin:tenants_tenant_add"), {**BODY, "plan": plan.pk, "owner": ""})
    assert "owner" in page.context["adminform"].form.errors
    assert counts() == (0, 0, 0)


def test_command_invites_an_owner_and_prints_the_key() -> None:
    out = io.StringIO()
    arguments = ["initech", "--plan", "team", "--owner", "bill@initech.example", "--host", "https://jobs.example"]
    call_command("create_tenant", *arguments, "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert facts["link"].startswith("https://jobs.example/admin/invitation/?token=")
    assert authenticate_api_key(token=facts["token"]) is not None


def test_page_shows_members_keys_and_plan_history(console: Client, staff: User) -> None:
    tenant = provision().tenant
    change = {"name": "Initech", "plan": "professional"}
    client = APIClient()
    client.force_login(staff)
    client.patch(TENANTS + "initech/", change, format="json")
    page = console.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    parts = {part.name: part for part in page.context["parts"]}
    assert [line.text for line in parts["members"].lines] == ["bill@initech.example"]
    assert [line.text for line in parts["keys"].lines] == ["first key"]
    assert [line.text for line in parts["plans"].lines] == ["Professional", "Team"]
    for part in parts.values():
        for url in (part.url, *(line.url for line in part.lines)):
            assert console.get(url).status_code == 200, url


def test_form_behind_the_page_needs_the_right(console: Client, acme: Tenant, acme_user: User) -> None:
    url = reverse("admin:tenants_tenant_change", args=[acme.pk])
    assert "adminform" in console.get(f"{url}?edit=1").context
    member = Client()
    member.force_login(acme_user)
    page = member.get(url)
    assert page.status_code == 200
    assert "?edit=1" not in page.content.decode()
    assert member.get(f"{url}?edit=1").status_code == 403


def test_saved_form_leads_back_to_the_page(console: Client, acme: Tenant) -> None:
    url = reverse("admin:tenants_tenant_change", args=[acme.pk])
    form = {"name": "Acme Inc.", "plan": acme.plan_id, "weight_factor": "1", "max_concurrency": ""}
    answer = console.post(f"{url}?edit=1", form)
    assert (answer.status_code, answer.url) == (302, url)


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_calls_creates_the_tenant() -> None:
    def call(_: int) -> ProvisionedTenant:
        try:
            return provision()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(call, range(2)))
    assert sorted(one.is_new for one in made) == [False, True]
    assert made[0].tenant == made[1].tenant
    assert counts() == (1, 1, 1)
