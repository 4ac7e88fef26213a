"""New rows that are made without their model's constructor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scheduling.models import Job, Queue
from tenants.database.ids import uuid7
from tenants.database.rows import array_literal, new_row, note_inserted
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def values(acme: Tenant) -> dict[str, Any]:
    """What a job has at least."""
    now = datetime(2030, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    return {
        "id": uuid7(),
        "tenant": acme,
        "kind": "noop",
        "queue": Queue.objects.get(name="dataset"),
        "state": "available",
        "rank": -(10**15),
        "payload_hash": b"x" * 32,
        "run_at": now,
        "created_at": now,
    }


def test_a_new_row_is_what_its_model_makes(acme: Tenant, values: dict[str, Any]) -> None:
    made, plain = new_row(Job, **values, batch=None), Job(**values, batch=None)
    names = [field.attname for field in Job._meta.concrete_fields]
    # What the database gives stands in it at once.
    assert {name: getattr(made, name) for name in names} == {name: getattr(plain, name) for name in names} | {
        "payload_bytes": 0,
        "used_us": 0,
        "travels_alone": False,
    }
    assert (made.tenant is acme, made.batch, made._state.adding) == (True, None, True)


def test_row_that_was_inserted_has_the_defaults_of_the_database(values: dict[str, Any]) -> None:
    row = Job(**values)
    note_inserted(row)
    assert (row.used_us, row.travels_alone, row._state.adding) == (0, False, False)


def test_new_rows_share_nothing(acme: Tenant) -> None:
    first, second = new_row(Job, tenant=acme), new_row(Job, tenant=acme)
    first.payload["a"] = first.tags.append("x")
    assert (second.payload, second.tags) == ({}, [])
    assert first.pk != second.pk or first.pk is None


def test_a_new_row_has_no_column_that_its_table_has_not(acme: Tenant) -> None:
    with pytest.raises(TypeError, match="colour"):
        new_row(Job, tenant=acme, colour="red")


@pytest.mark.parametrize(
    ("texts", "literal"),
    [([], "{}"), (["plain"], "{plain}"), (["NULL", "a,b", 'quo"te'], r'{"NULL","a,b","quo\"te"}')],
)
def test_array_literal_is_quoted_as_postgresql_reads_it(texts: list[str], literal: str) -> None:
    assert array_literal(texts) == literal
