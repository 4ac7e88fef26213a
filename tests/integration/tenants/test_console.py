"""The tenants' pages of the console: visibility, permissions, and acts by POST."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tenants.access.caller import authenticate_api_key
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Membership, Plan, Role, Tenant, TenantStatus

pytestmark = pytest.mark.django_db


def console_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, row, name: str, **data):
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_act", args=[row.pk, name])
    return client.post(url, data)


def test_member_sees_only_its_own_tenant(acme, globex, acme_user):
    page = console_of(acme_user).get(reverse("admin:tenants_tenant_changelist"))
    assert page.status_code == 200
    assert [tenant.slug for tenant in page.context["cl"].result_list] == ["acme"]


def test_page_of_another_tenant_is_not_found(acme, globex, acme_user):
    page = console_of(acme_user).get(reverse("admin:tenants_tenant_change", args=[globex.pk]))
    assert page.status_code == 404


def test_staff_sees_all_tenants(acme, globex, staff):
    page = console_of(staff).get(reverse("admin:tenants_tenant_changelist"))
    assert [tenant.slug for tenant in page.context["cl"].result_list] == ["acme", "globex"]


@pytest.mark.parametrize("model", ["plan", "tier"])
def test_plans_and_tiers_are_visible_only_to_staff(model, acme_user, staff):
    url = reverse(f"admin:tenants_{model}_changelist")
    assert console_of(acme_user).get(url).status_code == 403
    assert console_of(staff).get(url).status_code == 200


def test_every_page_of_this_app_opens_for_staff(acme, acme_user, staff):
    client = console_of(staff)
    with all_tenants():
        rows = [Tenant.objects.get(), Membership.objects.get(), AuditLogEntry.objects.first(), Plan.objects.first()]
    for row in rows:
        opts = row._meta
        assert client.get(reverse(f"admin:tenants_{opts.model_name}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:tenants_{opts.model_name}_change", args=[row.pk])).status_code == 200
    for name in ("tenant", "invitation", "apikey", "plan", "tier"):
        assert client.get(reverse(f"admin:tenants_{name}_add")).status_code == 200


def test_every_act_answers_get_with_405(acme, staff):
    client = console_of(staff)
    acts = [
        (model, name)
        for model, model_admin in admin.site._registry.items()
        for name in getattr(model_admin, "post_actions", ())
    ]
    assert len(acts) >= 6
    for model, name in acts:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_act", args=[acme.pk, name])
        assert client.get(url).status_code == 405, url


def test_staff_suspends_a_tenant_with_a_reason_and_reinstates_it(acme, staff):
    client = console_of(staff)
    act(client, acme, "suspend", reason="unpaid")
    with all_tenants():
        suspended = Tenant.objects.get(pk=acme.pk)
        entry = AuditLogEntry.objects.get(action="tenant.suspended")
    assert (suspended.status == TenantStatus.SUSPENDED, suspended.status_reason) == (True, "unpaid")
    assert (entry.actor_kind, entry.actor_label, entry.reason) == ("user", "stella", "unpaid")
    act(client, acme, "reinstate")
    with all_tenants():
        assert Tenant.objects.get(pk=acme.pk).status != TenantStatus.SUSPENDED


def test_act_without_its_reason_is_refused(acme, staff):
    answer = act(console_of(staff), acme, "suspend", reason=" ")
    page = console_of(staff).get(answer.url)
    assert page.status_code == 200
    with all_tenants():
        assert Tenant.objects.get(pk=acme.pk).status != TenantStatus.SUSPENDED


def test_member_may_pause_its_tenant_but_not_suspend_it(acme, acme_user):
    client = console_of(acme_user)
    assert act(client, acme, "suspend", reason="x").status_code == 403
    assert act(client, acme, "pause", reason="holiday").status_code == 302
    with all_tenants():
        tenant = Tenant.objects.get(pk=acme.pk)
    assert (tenant.is_paused, tenant.status == TenantStatus.SUSPENDED) == (True, False)


def test_act_on_another_tenants_row_is_not_found(globex, acme_user):
    assert act(console_of(acme_user), globex, "pause", reason="x").status_code == 404


def test_staff_creates_a_tenant_and_changes_its_plan(staff):
    client = console_of(staff)
    with all_tenants():
        team, professional = Plan.objects.get(slug="team"), Plan.objects.get(slug="professional")
    form = {"slug": "initech", "name": "Initech", "plan": team.pk, "owner": "bill@initech.example"}
    answer = client.post(reverse("admin:tenants_tenant_add"), form)
    assert answer.context.get("made"), answer.context["errors"]
    with all_tenants():
        tenant = Tenant.objects.get(slug="initech")
    form = {"name": "Initech", "plan": professional.pk, "weight_factor": "2.5", "max_concurrency": ""}
    assert client.post(reverse("admin:tenants_tenant_change", args=[tenant.pk]), form).status_code == 302
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(slug="initech")
        entry = AuditLogEntry.objects.get(action="tenant.updated")
    assert (tenant.plan, str(tenant.weight_factor)) == (professional, "2.500")
    assert entry.before["plan"] == str(team.pk)


def plan_form(plan: Plan, **changes) -> dict:
    names = ["name", "weight", "max_concurrency", "max_waiting_jobs", "submits_per_minute"]
    values = {name: getattr(plan, name) for name in [*names, "worker_seconds_per_month", "max_priority"]}
    with all_tenants():
        plan.limits.exclude(key="document_indexing.files_per_batch").delete()
        limit = plan.limits.get()
    return {
        **values,
        "tier": plan.tier_id,
        "limits-TOTAL_FORMS": "2",
        "limits-INITIAL_FORMS": "1",
        "limits-0-id": limit.pk,
        "limits-0-plan": plan.pk,
        "limits-0-key": limit.key,
        "limits-0-value": limit.value,
        "limits-1-plan": plan.pk,
        **changes,
    }


def test_plan_and_its_limits_are_saved_in_one_audited_change(staff):
    with all_tenants():
        plan = Plan.objects.get(slug="team")
        plan.limits.filter(key__startswith="retention.").delete()
    form = plan_form(plan, weight=3, **{"limits-0-value": "25", "limits-1-key": "storage_bytes", "limits-1-value": "7"})
    answer = console_of(staff).post(reverse("admin:tenants_plan_change", args=[plan.pk]), form)
    assert answer.status_code == 302, answer.context["errors"]
    with all_tenants():
        plan.refresh_from_db()
        limits = dict(plan.limits.values_list("key", "value"))
        entry = AuditLogEntry.objects.get(action="plan.updated")
    assert plan.weight == 3
    assert limits == {"document_indexing.files_per_batch": 25, "storage_bytes": 7}
    assert entry.after == {"weight": 3, "document_indexing.files_per_batch": 25, "storage_bytes": 7, "version": 2}


def test_undeclared_limit_of_a_plan_is_refused_beside_its_field(staff):
    with all_tenants():
        plan = Plan.objects.get(slug="team")
        plan.limits.filter(key__startswith="retention.").delete()
    form = plan_form(plan, **{"limits-1-key": "x.y", "limits-1-value": "7"})
    page = console_of(staff).post(reverse("admin:tenants_plan_change", args=[plan.pk]), form)
    assert page.status_code == 200
    assert "x.y is not one of the available choices" in page.content.decode()


def test_refused_change_is_explained_on_the_page(staff, monkeypatch):
    with all_tenants():
        team = Plan.objects.get(slug="team")
    form = {"slug": "Bad-Slug-", "name": "Initech", "plan": team.pk, "owner": "bill@initech.example"}
    answer = console_of(staff).post(reverse("admin:tenants_tenant_add"), form, follow=True)
    assert answer.status_code == 200
    assert "Use 1 to 50 lower-case letters" in str(answer.context["adminform"].form.errors["slug"])


def test_key_is_shown_once_and_works(acme, acme_user):
    client = console_of(acme_user)
    answer = client.post(
        reverse("admin:tenants_apikey_add"),
        {"name": "ci", "scopes": ["jobs.view"], "expires_at_0": "", "expires_at_1": ""},
    )
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    token = re.search(r'id="issued-token"[^>]*>([^<]+)<', answer.content.decode()).group(1)
    key = authenticate_api_key(token=token)
    assert key is not None
    assert key.tenant == acme
    page = client.get(reverse("admin:tenants_apikey_change", args=[key.pk])).content.decode()
    assert key.prefix in page
    assert token.partition(".")[2] not in page
    assert key.secret_hash not in page
    act(client, key, "revoke", reason="leaked")
    assert authenticate_api_key(token=token) is None


def test_viewer_sees_pages_and_changes_nothing(acme, outsider):
    add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    client = console_of(outsider)
    assert client.get(reverse("admin:tenants_membership_changelist")).status_code == 200
    assert client.get(reverse("admin:tenants_apikey_changelist")).status_code == 403
    assert client.get(reverse("admin:tenants_apikey_add")).status_code == 403
    assert act(client, acme, "pause", reason="x").status_code == 403
    with tenant_context(acme):
        assert not ApiKey.objects.exists()


def test_members_are_removed(acme, acme_user, outsider):
    client = console_of(acme_user)
    membership = add_member(tenant=acme, user=outsider, role=Role.DEVELOPER)
    assert act(client, membership, "remove").status_code == 302
    with tenant_context(acme):
        assert not Membership.objects.filter(user=outsider).exists()


def test_last_owner_cannot_be_removed(acme, acme_user):
    with tenant_context(acme):
        membership = Membership.objects.get(user=acme_user)
    act(console_of(acme_user), membership, "remove")
    with tenant_context(acme):
        assert Membership.objects.filter(user=acme_user).exists()


def test_audit_log_cannot_be_changed(acme, staff):
    client = console_of(staff)
    with all_tenants():
        entry = AuditLogEntry.objects.first()
    assert client.get(reverse("admin:tenants_auditlogentry_add")).status_code == 403
    assert client.post(reverse("admin:tenants_auditlogentry_change", args=[entry.pk]), {}).status_code == 403
    assert client.post(reverse("admin:tenants_auditlogentry_delete", args=[entry.pk]), {}).status_code == 403


def test_member_of_two_tenants_chooses_the_shown_one(acme, globex, acme_user):
    add_member(tenant=globex, user=acme_user)
    client = console_of(acme_user)
    url = reverse("admin:tenants_tenant_changelist")
    assert [tenant.slug for tenant in client.get(url).context["cl"].result_list] == ["acme"]
    assert client.get(reverse("admin:tenants_tenant_choose")).status_code == 405
    client.post(reverse("admin:tenants_tenant_choose"), {"tenant": "globex"})
    assert [tenant.slug for tenant in client.get(url).context["cl"].result_list] == ["globex"]
    assert "Globex (globex)" in client.get(url).content.decode()
    next_login = console_of(acme_user)
    assert [tenant.slug for tenant in next_login.get(url).context["cl"].result_list] == ["globex"]


def test_choice_of_a_foreign_tenant_is_ignored(acme, globex, acme_user):
    client = console_of(acme_user)
    client.post(reverse("admin:tenants_tenant_choose"), {"tenant": "globex"})
    page = client.get(reverse("admin:tenants_tenant_changelist"))
    assert [tenant.slug for tenant in page.context["cl"].result_list] == ["acme"]


def test_staff_flag_without_a_role_opens_nothing(outsider, acme):
    outsider.is_staff = True
    outsider.save()
    client = console_of(outsider)
    for name in ("admin:index", "admin:tenants_tenant_changelist"):
        assert client.get(reverse(name)).url.startswith(reverse("admin:login"))


def test_users_are_managed_only_by_staff_and_audited(acme_user, staff):
    url = reverse("admin:auth_user_add")
    assert console_of(acme_user).get(url).status_code == 403
    form = {"username": "newton", "password1": "a-long-pass-phrase-1", "password2": "a-long-pass-phrase-1"}
    answer = console_of(staff).post(url, {**form, "usable_password": "true"})
    assert answer.status_code == 302, answer.context["errors"]
    with all_tenants():
        assert AuditLogEntry.objects.get(action="user.created").after == {"name": "newton"}


def test_page_offers_the_acts_permitted_for_its_row(acme, acme_user, staff):
    url = reverse("admin:tenants_tenant_change", args=[acme.pk])

    def offered(user) -> set[str]:
        return set(re.findall(r'data-act="(\w+)"', console_of(user).get(url).content.decode()))

    assert offered(staff) == {"pause", "drain", "suspend", "hold", "view_as"}
    assert offered(acme_user) == {"pause", "drain"}
    act(console_of(staff), acme, "suspend", reason="unpaid")
    assert offered(staff) == {"pause", "drain", "reinstate", "erase", "hold", "view_as"}


def test_choice_of_a_tenant_is_offered_to_members_of_several(acme, globex, acme_user):
    url = reverse("admin:tenants_tenant_changelist")
    assert 'id="choose-tenant"' not in console_of(acme_user).get(url).content.decode()
    add_member(tenant=globex, user=acme_user)
    assert 'id="choose-tenant"' in console_of(acme_user).get(url).content.decode()
