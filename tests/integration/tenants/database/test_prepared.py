"""Prepared statements: those of the hot path stay prepared on their connection, and no others."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, connection, transaction
from psycopg.rows import scalar_row

from tenants.access.caller import authenticate_api_key
from tenants.context import all_tenants
from tenants.database import prepared
from tenants.database.prepared import execute, fetch_all, fetch_one, prepared_cursor, watch_statements
from tenants.models import Tenant
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db

_ASK = "SELECT %(number)s + 1 AS prepared_once"


def _kept(like: str) -> list[tuple[Any, ...]]:
    """Return the session's prepared statements of such a text: their types, and how often each ran by which plan."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT parameter_types::text, generic_plans + custom_plans FROM pg_prepared_statements"
            " WHERE statement LIKE %s",
            [f"%{like}%"],
        )
        return list(cursor.fetchall())


def _ask(number: int) -> int:
    with prepared_cursor() as cursor:
        cursor.execute(_ASK, {"number": number})
        return int(cursor.fetchone()[0])


def test_statement_is_prepared_once_for_numbers_of_any_size() -> None:
    with transaction.atomic():
        before = sum(runs for _, runs in _kept("prepared_once"))
        assert [_ask(1), _ask(1 << 20), _ask(1 << 40)] == [2, (1 << 20) + 1, (1 << 40) + 1]
        assert [types for types, _ in _kept("prepared_once")] == ["{bigint}"]
        assert sum(runs for _, runs in _kept("prepared_once")) == before + 3


def test_rows_are_fetched_by_a_prepared_or_a_planned_statement() -> None:
    statement = "SELECT n FROM generate_series(1, %(most)s) AS fetched(n)"
    with transaction.atomic():
        assert [row.n for row in fetch_all(statement, {"most": 2})] == [1, 2]
        assert len(_kept("AS fetched(n)")) == 1
        assert fetch_one(f"{statement} OFFSET 1", {"most": 2}, scalar_row, is_planned=True) == 2
        assert fetch_one(statement, {"most": 0}) is None
        assert len(_kept("AS fetched(n)")) == 1


def test_number_of_rows_of_a_statement_is_returned() -> None:
    statement = "SELECT FROM generate_series(1, %(most)s) AS counted"
    with transaction.atomic():
        assert execute(statement, {"most": 3}) == 3
        assert execute(statement, {"most": 0}, is_planned=True) == 0
        assert len(_kept("AS counted")) == 1


@pytest.mark.parametrize(
    ("values", "type_of", "cast"),
    [
        ([1, None, 1 << 40], "{bigint[]}", "bigint[]"),
        ([UUID(int=1), None, UUID(int=2)], "{uuid[]}", "uuid[]"),
        (["a", None, 'b",{'], "{text[]}", "text[]"),
        ([True, None, False], "{boolean[]}", "boolean[]"),
        ([0.5, None, 2.0], '{"double precision[]"}', "float8[]"),
        ([None, None], "{bigint[]}", "bigint[]"),
        ([], "{uuid[]}", "uuid[]"),
    ],
)
def test_lists_arrive_unchanged(values: list[object], type_of: str, cast: str) -> None:
    name = f"list_{cast.rstrip('[]')}_{len(values)}"
    with transaction.atomic(), prepared_cursor() as cursor:
        cursor.execute(f"SELECT array_to_json(v)::text AS {name} FROM (SELECT %s::{cast} AS v) AS of_list", [values])
        (echoed,) = cursor.fetchone()
        assert [types for types, _ in _kept(name)] == [type_of]
    assert json.loads(echoed) == [str(value) if isinstance(value, UUID) else value for value in values]


def test_statements_behind_a_pooler_are_not_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    with transaction.atomic(), prepared_cursor() as cursor:
        cursor.execute("SELECT %s::int AS behind_a_pooler", [1])
        assert cursor.fetchone() == (1,)
    assert _kept("behind_a_pooler") == []


def test_statements_of_other_cursors_are_not_prepared() -> None:
    with transaction.atomic():
        _ask(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s AS never_prepared", [1])
        assert _kept("AS never_prepared") == []


def test_rollback_to_a_savepoint_keeps_what_is_prepared() -> None:
    with transaction.atomic():
        _ask(1)
        before = sum(runs for _, runs in _kept("prepared_once"))
        with suppress(ZeroDivisionError), prepared_cursor(), transaction.atomic():
            _ = 1 / 0
        _ask(2)
        assert sum(runs for _, runs in _kept("prepared_once")) == before + 1


def test_plans_are_renewed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    # An earlier test may have used another clock, so no finite age is sure to be reached or not.
    monkeypatch.setattr(prepared, "PLAN_SECONDS", math.inf)
    with transaction.atomic():
        _ask(1)
        raw = connection.connection
        execute = type(raw).execute

        def note(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
            asked.append(query)
            return execute(self, query, *arguments, **options)

        monkeypatch.setattr(type(raw), "execute", note)
        _ask(2)
        assert asked == []
        monkeypatch.setattr(prepared, "PLAN_SECONDS", -math.inf)
        assert _ask(3) == 4
        assert asked == ["DISCARD PLANS"]


def test_error_is_djangos_and_leaves_the_cursor_usable() -> None:
    with transaction.atomic():
        with pytest.raises(DataError), transaction.atomic(), prepared_cursor() as cursor:
            cursor.execute("SELECT 1 / %s", [0])
        assert _ask(1) == 2


def test_settings_of_the_platform_scope_last_for_its_transaction() -> None:
    def seqscan() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('enable_seqscan'), current_setting('role')")
            return "/".join(cursor.fetchone())

    with transaction.atomic():
        savepoint = transaction.savepoint()
        with all_tenants({"enable_seqscan": "off"}):
            assert seqscan().startswith("off/")
            with all_tenants({"enable_seqscan": "on"}):
                assert seqscan().startswith("on/")
        transaction.savepoint_rollback(savepoint)
        assert seqscan() == "on/none"


def test_batch_statement_is_planned_for_its_list_despite_cached_plans() -> None:
    """Avoid a generic plan, by which a tick with many ends would read whole tables once for each."""
    with all_tenants({"plan_cache_mode": "force_generic_plan"}), prepared_cursor() as cursor:
        for count in (2, prepared.MOST_VALUES + 1):
            values = {"numbers": list(range(count)), "text": "100 % it's"}
            cursor.execute("SELECT sum(n), %(text)s FROM unnest(%(numbers)s::bigint[]) AS for_many(n)", values)
            assert cursor.fetchone() == (sum(range(count)), "100 % it's")
    assert [runs for _, runs in _kept("AS for_many(n)")] == [1]


def test_wrapper_gets_each_statement_without_its_values() -> None:
    seen: list[str] = []

    @contextmanager
    def watch(statement: str) -> Iterator[None]:
        seen.append(statement)
        yield

    watch_statements(watch)
    try:
        with transaction.atomic():
            assert _ask(41) == 42
            with prepared_cursor() as cursor:
                cursor.execute("SELECT cardinality(%s::int[])", [list(range(100))])
    finally:
        watch_statements(None)
    assert seen == [_ASK, "SELECT cardinality(%s::int[])"]


@pytest.mark.django_db(transaction=True)
def test_key_is_found_on_a_connection_after_a_rollback(acme: Tenant) -> None:
    """Prepare again: the driver drops all prepared statements after a rollback."""
    token = issue_api_key(tenant=acme, name="again").token
    for _ in range(3):
        assert authenticate_api_key(token=token) is not None
        with suppress(ZeroDivisionError), all_tenants():
            _ask(1)
            _ = 1 / 0
