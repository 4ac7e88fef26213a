"""The ORM guard: without a tenant it raises, with one it fills in, filters and refuses."""

from __future__ import annotations

import pytest

from scheduling.models import Batch
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import ForeignTenantError, NoTenantError, TenantNotChosenError
from tenants.models import ApiKey, AuditLogEntry, Membership, Tenant
from tests.integration.tenants.sql import make_batch, make_job, make_key

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", [Tenant, Membership, ApiKey, AuditLogEntry, Batch])
@pytest.mark.parametrize(
    "ask",
    [
        lambda manager: manager.all(),
        lambda manager: manager.count(),
        lambda manager: manager.get(pk="01a20e4f-e459-747b-83a1-dc9c5d432160"),
        lambda manager: manager.filter(pk=None),
        lambda manager: manager.create(),
        lambda manager: manager.bulk_create([]),
        lambda manager: manager.values_list("pk"),
        lambda manager: manager.raw("SELECT 1").model.objects.first(),
        lambda manager: manager.update(pk=None),
        lambda manager: manager.using("default"),
        lambda manager: manager.get_or_create(pk="01a20e4f-e459-747b-83a1-dc9c5d432160"),
    ],
)
def test_manager_without_a_tenant_raises(model, ask):
    with pytest.raises(NoTenantError):
        ask(model.objects)


@pytest.mark.parametrize("model", [Tenant, Membership, ApiKey, AuditLogEntry, Batch])
def test_default_manager_is_guarded(model):
    with pytest.raises(NoTenantError):
        model._default_manager.all()


def test_empty_queryset_needs_no_tenant():
    assert list(ApiKey.objects.none()) == []


def test_save_without_a_tenant_raises(acme):
    with pytest.raises(NoTenantError):
        ApiKey(tenant=acme, name="x", prefix="x").save()


def test_new_row_gets_the_tenant_of_the_context(in_acme):
    assert ApiKey.objects.create(name="x", prefix="x").tenant_id == in_acme.pk


def test_bulk_created_rows_get_the_tenant_of_the_context(in_acme):
    made = ApiKey.objects.bulk_create([ApiKey(name="x", prefix="x"), ApiKey(name="y", prefix="y")])
    assert {key.tenant_id for key in made} == {in_acme.pk}


def test_row_of_another_tenant_is_not_saved(in_acme, globex):
    with pytest.raises(ForeignTenantError):
        ApiKey(tenant=globex, name="x", prefix="x").save()


def test_bulk_create_with_a_foreign_row_is_refused_whole(in_acme, globex):
    rows = [ApiKey(name="own", prefix="own"), ApiKey(tenant=globex, name="x", prefix="x")]
    with pytest.raises(ForeignTenantError):
        ApiKey.objects.bulk_create(rows)
    assert not ApiKey.objects.exists()


def test_platform_scope_must_name_the_tenant_of_a_row(acme):
    with all_tenants():
        with pytest.raises(TenantNotChosenError):
            Batch.objects.create(label="x")
        with pytest.raises(TenantNotChosenError):
            Batch.objects.bulk_create([Batch(label="x")])
        # A key without a tenant is the platform's.
        assert ApiKey.objects.create(name="x", prefix="x").tenant_id is None
        assert ApiKey.objects.create(tenant=acme, name="y", prefix="y").tenant_id == acme.pk


def test_queries_find_only_own_rows(acme, globex):
    make_key(acme, "a", enter=True)
    make_key(globex, "g", enter=True)
    with tenant_context(acme):
        assert [key.name for key in ApiKey.objects.all()] == ["a"]
        assert ApiKey.objects.filter(name="g").count() == 0


def test_related_manager_is_guarded(acme, globex):
    batch = make_batch(acme)
    job = make_job(acme, batch=batch)
    with pytest.raises(NoTenantError):
        list(batch.jobs.all())
    with tenant_context(acme):
        assert [found.pk for found in batch.jobs.all()] == [job.pk]
    with tenant_context(globex):
        assert list(batch.jobs.all()) == []


def test_queryset_of_one_context_is_empty_in_the_next(acme, globex):
    make_key(acme, "a", enter=True)
    make_key(globex, "g", enter=True)
    with tenant_context(acme):
        unevaluated = ApiKey.objects.all()
    with tenant_context(globex):
        assert list(unevaluated) == []
    # Outside any context, row-level security returns no rows either.
    assert list(unevaluated.all()) == []
