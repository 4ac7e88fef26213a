"""The base classes of the console: drop-downs and counts of lists."""

from __future__ import annotations

import pytest
from django.contrib import admin

from scheduling.models import Batch, Job
from tenants.access.caller import Access
from tenants.access.permissions import PlatformRole
from tenants.console.base import CappedPaginator, TenantScopedAdmin
from tenants.context import all_tenants, tenant_context
from tenants.models import Role
from tests.integration.tenants.sql import make_batch, make_job

pytestmark = pytest.mark.django_db


def test_drop_down_in_the_platform_scope_offers_the_tenants_rows(acme, globex, staff, rf):
    own, _foreign = make_batch(acme, "own"), make_batch(globex, "foreign")
    job = make_job(acme)
    request = rf.get("/")
    request.user, request.access = staff, Access(platform_role=PlatformRole.ADMIN)
    job_admin = TenantScopedAdmin(Job, admin.site)
    with all_tenants():
        offered = job_admin.get_form(request, job, fields=["batch"]).base_fields["batch"].queryset
        assert list(offered) == [own]
        assert job_admin.get_form(request, None, fields=["batch"]).base_fields["batch"].queryset.count() == 2


def test_drop_down_of_a_member_offers_only_its_own_rows(acme, globex, acme_user, rf):
    own, _foreign = make_batch(acme, "own"), make_batch(globex, "foreign")
    request = rf.get("/")
    request.user, request.access = acme_user, Access(tenant=acme, role=Role.OWNER)
    with tenant_context(acme):
        form = TenantScopedAdmin(Job, admin.site).get_form(request, None, fields=["batch"])
        assert list(form.base_fields["batch"].queryset) == [own]


def test_list_count_stops_at_its_cap(in_acme, monkeypatch):
    monkeypatch.setattr("tenants.console.base.COUNT_CAP", 3)
    Batch.objects.bulk_create([Batch(label=str(number), kind="noop", total=1) for number in range(5)])
    assert CappedPaginator(Batch.objects.order_by("id"), 2).count == 3
    assert CappedPaginator([1, 2], 2).count == 2
