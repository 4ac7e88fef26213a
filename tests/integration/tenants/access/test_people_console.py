"""Users, platform roles, keys and the page of roles in the console."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags
from django_celery_beat.models import PeriodicTask

from tenants.access.matrix import read_matrix
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.access.permission_texts import TEXTS
from tenants.access.permissions import Permission
from tenants.checks import check_key_days
from tenants.context import all_tenants, tenant_context
from tenants.database.platform_settings import platform_settings
from tenants.models import ApiKey, AuditLogEntry, PlatformMembership, Role
from tests.conftest import PASSWORD
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


def console_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, row, name: str, **data):
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_act", args=[row.pk, name])
    return client.post(url, data)


def test_user_page_shows_rights_and_lockout(acme, acme_user, staff):
    page = console_of(staff).get(reverse("admin:auth_user_change", args=[acme_user.pk])).content.decode()
    assert "acme (owner)" in strip_tags(page)
    for _ in range(5):
        Client().post("/admin/login/", {"username": "alice", "password": "wrong"})
    page = console_of(staff).get(reverse("admin:auth_user_change", args=[acme_user.pk])).content.decode()
    assert "after too many wrong passwords" in page
    assert 'data-act="unlock"' in page
    act(console_of(staff), acme_user, "unlock", reason="called")
    assert Client().post("/admin/login/", {"username": "alice", "password": PASSWORD}).status_code == 302


def test_admin_deactivates_and_activates_an_account(acme_user, staff):
    theirs = console_of(acme_user)
    act(console_of(staff), acme_user, "deactivate", reason="left")
    assert theirs.get("/admin/").status_code == 302
    act(console_of(staff), acme_user, "activate", reason="back")
    acme_user.refresh_from_db()
    assert acme_user.is_active


def test_user_form_cannot_set_superuser_or_active(acme_user, staff):
    url = reverse("admin:auth_user_change", args=[acme_user.pk])
    form = {"username": "alice", "email": "a@example.org", "is_superuser": "on", "is_staff": "on", "is_active": ""}
    assert console_of(staff).post(url, form).status_code == 302
    acme_user.refresh_from_db()
    assert (acme_user.email, acme_user.is_superuser, acme_user.is_active) == ("a@example.org", False, True)


def test_platform_roles_are_granted_changed_and_revoked(staff, outsider):
    client = console_of(staff)
    add = reverse("admin:tenants_platformmembership_add")
    answer = client.post(add, {"username": "oscar", "role": "auditor", "reason": "joins"})
    assert answer.status_code == 302, answer.context["errors"]
    row = PlatformMembership.objects.get()
    change = reverse("admin:tenants_platformmembership_change", args=[row.pk])
    assert client.post(change, {"role": "operator", "reason": "moves"}).status_code == 302
    with all_tenants():
        assert AuditLogEntry.objects.get(action="platform_role.changed").reason == "moves"
    act(client, row, "revoke", reason="leaves")
    assert not PlatformMembership.objects.exists()
    assert "There is no user" in client.post(add, {"username": "unknown", "role": "auditor"}).content.decode()


def test_last_admins_role_cannot_be_revoked_in_the_console(staff, outsider):
    grant_platform_role(user=outsider, role="admin")
    grant_platform_role(user=staff, role="admin")
    client = console_of(staff)
    act(client, PlatformMembership.objects.get(user=outsider), "revoke", reason="x")
    answer = act(client, PlatformMembership.objects.get(user=staff), "revoke", reason="x")
    assert "must keep at least one admin" in client.get(answer.url).content.decode()
    assert PlatformMembership.objects.filter(user=staff).exists()


def test_auditor_sees_people_and_changes_nothing(staff, outsider, acme_user):
    grant_platform_role(user=outsider, role="auditor")
    client = console_of(outsider)
    page = client.get(reverse("admin:auth_user_change", args=[acme_user.pk]))
    assert page.status_code == 200
    assert "data-act=" not in page.content.decode()
    assert client.post(reverse("admin:auth_user_change", args=[acme_user.pk]), {"username": "x"}).status_code == 403


def test_key_page_shows_scopes_last_use_and_validity(acme, acme_user):
    issued = issue_api_key(tenant=acme, name="ci", scopes=["jobs.submit"])
    client = console_of(acme_user)
    page = client.get(reverse("admin:tenants_apikey_change", args=[issued.key.pk])).content.decode()
    assert "jobs.submit" in page
    assert "valid" in client.get(reverse("admin:tenants_apikey_changelist")).content.decode()


@pytest.mark.parametrize("scopes", [[], ["api_keys.manage"], ["people.manage"]])
def test_key_without_scopes_or_with_excessive_ones_is_not_issued(acme, acme_user, scopes):
    answer = console_of(acme_user).post(reverse("admin:tenants_apikey_add"), {"name": "ci", "scopes": scopes})
    assert answer.status_code == 200
    with tenant_context(acme):
        assert not ApiKey.objects.exists()


def test_key_with_a_past_expiry_is_not_issued(acme, acme_user):
    form = {"name": "ci", "scopes": ["jobs.view"], "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    answer = console_of(acme_user).post(reverse("admin:tenants_apikey_add"), form)
    assert "The time must be in the future" in answer.content.decode()


def test_expiry_time_is_ignored_for_a_key_that_never_expires(acme, acme_user):
    form = {"name": "x", "scopes": ["jobs.view"], "expires_at_0": "2001-01-01", "expires_at_1": "00:00"}
    assert console_of(acme_user).post("/admin/tenants/apikey/add/", form | {"never_expires": "on"}).status_code == 200
    with tenant_context(acme):
        assert ApiKey.objects.get().expires_at is None


def test_default_key_lifetime_beyond_the_maximum_is_a_start_up_error(change_platform_settings):
    assert check_key_days() == []
    change_platform_settings(API_KEY_DEFAULT_DAYS=platform_settings.API_KEY_MAX_DAYS + 1)
    assert [fault.id for fault in check_key_days()] == ["tenants.E007"]


def test_changed_beat_arguments_are_masked_in_the_audit_log(db):
    task = PeriodicTask(pk=1, name="nightly")
    values = {"kwargs": '{"payload": {"iban": "secret-iban"}}', "enabled": True}
    form = SimpleNamespace(changed_data=list(values), initial=values, cleaned_data=values)
    page = admin.site.get_model_admin(PeriodicTask)
    with all_tenants():
        page.log_change(None, task, page.construct_change_message(None, form, []))
        entry = AuditLogEntry.objects.get(action="periodictask.changed")
    assert (entry.before, entry.after) == ({"name": str(task), "kwargs": "[masked]", "enabled": True},) * 2


def test_page_of_roles_lists_every_permission_for_every_role(acme, outsider):
    assert set(TEXTS) == set(Permission)
    add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    outsider.refresh_from_db()
    client = console_of(outsider)
    page = client.get(reverse("admin:roles")).content.decode()
    assert all(f"<code>{right}</code>" in page for right in Permission)
    assert reverse("admin:roles") in client.get(reverse("admin:tenants_membership_changelist")).content.decode()
    held = {row.permission: row.held for row in read_matrix()}
    assert held[Permission.JOBS_REVEAL] == (True, True, False, False, True, False, False)
