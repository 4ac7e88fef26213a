"""Rows stored by arrays of columns: as `bulk_create` stores them, under the same guard."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import DataError, transaction
from django.forms.models import model_to_dict

from scheduling.models import Job, Queue
from tenants.context import tenant_context
from tenants.exceptions import ForeignTenantError, NoTenantError
from tenants.ids import uuid7
from tenants.inserts import insert_rows, new_row
from tenants.models import Tenant

pytestmark = pytest.mark.django_db
TAGS: tuple[list[str], ...] = ([], ["plain"], ["NULL", "a,b", 'quo"te', "back\\slash", "{}", "北京"])


def jobs_of(tenant: Tenant) -> list[Job]:
    now, queue = datetime(2030, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), Queue.objects.get(name="dataset")
    return [
        Job(
            id=uuid7(),
            tenant=tenant,
            kind="noop",
            queue=queue,
            state="available",
            rank=-(10**15) * number,
            tags=tags,
            payload={"n": number, "text": '北京 {"a"}'} if number else {},
            payload_hash=bytes([number]) * 32,
            dependencies=tags or None,
            run_at=now,
            deadline_at=now if number else None,
            created_at=now,
        )
        for number, tags in enumerate(TAGS)
    ]


def stored(rows: list[Job]) -> list[dict[str, object]]:
    found = Job.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk")
    return [
        {**model_to_dict(row), "hash": bytes(row.payload_hash), "used": row.used_us, "alone": row.travels_alone}
        | {"needs": row.dependencies}
        for row in found
    ]


def test_it_stores_what_bulk_create_stores(acme: Tenant) -> None:
    with tenant_context(acme):
        one, other = jobs_of(acme), jobs_of(acme)
        Job.objects.bulk_create(one)
        insert_rows(other)
        assert stored(other) == stored(one)
        assert [row["tags"] for row in stored(other)] == list(TAGS)
    assert (other[0].used_us, other[0].travels_alone, other[0]._state.adding) == (0, False, False)


def test_a_row_by_itself_is_stored_as_among_others(acme: Tenant) -> None:
    with tenant_context(acme):
        one, other = jobs_of(acme), jobs_of(acme)
        insert_rows(one)
        for row in other:
            insert_rows([row])
        assert stored(other) == stored(one)


def test_what_is_too_long_is_refused_and_not_cut(acme: Tenant) -> None:
    with tenant_context(acme):
        for name, value in (("kind", "x" * 65), ("tags", ["x" * 65])):
            rows = jobs_of(acme)
            setattr(rows[1], name, value)
            with pytest.raises(DataError), transaction.atomic():
                insert_rows(rows)


def test_it_is_guarded_like_any_other_way_in(acme: Tenant, globex: Tenant) -> None:
    with tenant_context(acme):
        rows = jobs_of(acme)
    with pytest.raises(NoTenantError):
        insert_rows(rows)
    with tenant_context(globex), pytest.raises(ForeignTenantError):
        insert_rows(rows)


def test_no_rows_are_no_statement(acme: Tenant, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    with tenant_context(acme), django_assert_num_queries(0):
        insert_rows([])


def test_a_new_row_is_what_its_model_makes(acme: Tenant) -> None:
    (given, *_) = jobs_of(acme)
    values = {
        name: getattr(given, name)
        for name in ("id", "tenant", "kind", "queue", "state", "rank", "payload_hash", "run_at", "created_at")
    }
    made, plain = new_row(Job, **values, batch=None), Job(**values, batch=None)
    names = [field.attname for field in Job._meta.concrete_fields]
    # What the database gives stands in it at once.
    assert {name: getattr(made, name) for name in names} == {name: getattr(plain, name) for name in names} | {
        "payload_bytes": 0,
        "used_us": 0,
        "travels_alone": False,
    }
    assert (made.tenant is acme, made.batch, made._state.adding) == (True, None, True)
    with tenant_context(acme):
        insert_rows([made])
        (row,) = stored([made])
    assert row == {**model_to_dict(made), "hash": made.payload_hash, "used": 0, "alone": False, "needs": None}


def test_new_rows_share_nothing(acme: Tenant) -> None:
    first, second = new_row(Job, tenant=acme), new_row(Job, tenant=acme)
    first.payload["a"] = first.tags.append("x")
    assert (second.payload, second.tags) == ({}, [])
    assert first.pk != second.pk or first.pk is None


def test_a_new_row_has_no_column_that_its_table_has_not(acme: Tenant) -> None:
    with pytest.raises(TypeError, match="colour"):
        new_row(Job, tenant=acme, colour="red")
