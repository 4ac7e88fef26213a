"""View of a tenant by platform staff: its rows only, read-only, with a banner and audit entries, for half an hour."""

from __future__ import annotations

import re
import time

import pytest
from allauth.account.internal.flows.login import record_authentication
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from tenants.access.viewing import SESSION_VIEW, VIEW_SECONDS
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
BANNER = "data-tenant-view"


@pytest.fixture
def client(staff: User, acme: Tenant, globex: Tenant) -> Client:
    made = Client()
    made.force_login(staff)
    url = reverse("admin:tenants_tenant_act", args=[acme.pk, "view_as"])
    assert made.post(url, {"reason": "ticket 7"}).headers["Location"] == reverse("admin:index")
    return made


def pause(client: Client, tenant: Tenant) -> int:
    return client.post(reverse("admin:tenants_tenant_act", args=[tenant.pk, "pause"]), {"reason": "x"}).status_code


def actions() -> list[tuple[str, object]]:
    with all_tenants():
        rows = AuditLogEntry.objects.filter(action__startswith="tenant.view").order_by("pk")
        return list(rows.values_list("action", "tenant__slug"))


def test_view_shows_the_rows_of_its_tenant_and_a_banner(client: Client, acme: Tenant, globex: Tenant) -> None:
    own, other = submit(acme, 1)[0], submit(globex, 1)[0]
    assert BANNER in client.get(reverse("admin:index")).content.decode()
    assert client.get(reverse("admin:scheduling_job_change", args=[own.pk])).status_code == 200
    assert client.get(reverse("admin:scheduling_job_change", args=[other.pk])).status_code == 404
    assert client.get(reverse("admin:tenants_tenanterasure_changelist")).status_code == 403


def give_factor(client: Client, user: User) -> None:
    request = RequestFactory().get("/")
    request.session = client.session
    record_authentication(request, user, "mfa")
    request.session.save()


def test_view_is_read_only_until_a_second_factor_is_given_in_it(client: Client, acme: Tenant, staff: User) -> None:
    refused = client.post(reverse("admin:tenants_tenant_act", args=[acme.pk, "pause"]), {"reason": "x"})
    assert (refused.status_code, "This view of a tenant is read-only" in refused.content.decode()) == (403, True)
    give_factor(client, staff)
    session = client.session
    session[SESSION_VIEW] |= {"began_at": time.time() + 1}
    session.save()
    # It was given before the view began.
    assert pause(client, acme) == 403
    session[SESSION_VIEW] |= {"began_at": time.time() - 60}
    session.save()
    assert pause(client, acme) == 302
    with all_tenants():
        assert Tenant.objects.get(pk=acme.pk).is_paused


def test_view_ends_by_leaving_it(client: Client) -> None:
    client.post(reverse("admin:tenants_tenant_leave"))
    assert BANNER not in client.get(reverse("admin:index")).content.decode()
    assert actions() == [("tenant.view_started", "acme"), ("tenant.view_ended", "acme")]


def test_form_from_before_the_end_of_a_view_is_refused(client: Client, acme: Tenant) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    url = reverse("admin:tenants_tenant_act", args=[acme.pk, "pause"])

    def token() -> str:
        found = re.search(
            'name="csrfmiddlewaretoken" value="([^"]+)"', strict.get(reverse("admin:index")).content.decode()
        )
        assert found
        return found[1]

    open_form = token()
    assert strict.post(reverse("admin:tenants_tenant_leave"), {"csrfmiddlewaretoken": open_form}).status_code == 302
    assert strict.post(url, {"csrfmiddlewaretoken": open_form, "reason": "x"}).status_code == 403
    assert strict.post(url, {"csrfmiddlewaretoken": token(), "reason": "x"}).status_code == 302


def test_view_ends_after_its_time(client: Client) -> None:
    session = client.session
    session[SESSION_VIEW] |= {"began_at": time.time() - VIEW_SECONDS}
    session.save()
    assert BANNER not in client.get(reverse("admin:index")).content.decode()
    assert actions()[-1] == ("tenant.view_ended", "acme")


def test_change_from_a_view_that_has_ended_is_refused(client: Client, acme: Tenant) -> None:
    session = client.session
    session[SESSION_VIEW] |= {"began_at": time.time() - VIEW_SECONDS}
    session.save()
    refused = client.post(reverse("admin:tenants_tenant_act", args=[acme.pk, "pause"]), {"reason": "x"})
    assert (refused.status_code, "The view of the tenant has ended" in refused.content.decode()) == (403, True)
    assert pause(client, acme) == 302


def test_view_ends_with_its_tenant(client: Client) -> None:
    session = client.session
    session[SESSION_VIEW] |= {"slug": "erased"}
    session.save()
    assert client.get(reverse("admin:index")).status_code == 200
    assert SESSION_VIEW not in client.session


def test_view_is_for_platform_staff(acme: Tenant, acme_user: User) -> None:
    owner = Client()
    owner.force_login(acme_user)
    url = reverse("admin:tenants_tenant_act", args=[acme.pk, "view_as"])
    assert owner.post(url, {"reason": "x"}).status_code == 403
