"""New rows that are created without their model's constructor."""

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
    """Return the values that a job needs at least."""
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


def test_new_row_equals_the_models_own(acme: Tenant, values: dict[str, Any]) -> None:
    made, plain = new_row(Job, **values, batch=None), Job(**values, batch=None)
    names = [field.attname for field in Job._meta.concrete_fields]
    # The defaults of the database are set at once.
    assert {name: getattr(made, name) for name in names} == {name: getattr(plain, name) for name in names} | {
        "payload_bytes": 0,
        "used_us": 0,
        "merge_disabled": False,
    }
    assert (made.tenant is acme, made.batch, made._state.adding) == (True, None, True)


def test_inserted_row_has_the_defaults_of_the_database(values: dict[str, Any]) -> None:
    row = Job(**values)
    note_inserted(row)
    assert (row.used_us, row.merge_disabled, row._state.adding) == (0, False, False)


def test_new_rows_share_no_mutable_values(acme: Tenant) -> None:
    first, second = new_row(Job, tenant=acme), new_row(Job, tenant=acme)
    first.payload["a"] = first.tags.append("x")
    assert (second.payload, second.tags) == ({}, [])
    assert first.pk != second.pk or first.pk is None


def test_new_row_with_an_unknown_column_is_refused(acme: Tenant) -> None:
    with pytest.raises(TypeError, match="colour"):
        new_row(Job, tenant=acme, colour="red")


@pytest.mark.parametrize(
    ("texts", "literal"),
    [([], "{}"), (["plain"], "{plain}"), (["NULL", "a,b", 'quo"te'], r'{"NULL","a,b","quo\"te"}')],
)
def test_array_literal_is_quoted_as_postgresql_reads_it(texts: list[str], literal: str) -> None:
    assert array_literal(texts) == literal
