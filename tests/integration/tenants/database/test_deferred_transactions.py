"""Deferred beginnings: a scope's transaction begins with its first statement, in one message with its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DataError, connection, transaction
from psycopg.pq import TransactionStatus

from tenants.context import all_tenants, current_scope, query_cross_tenant, tenant_context
from tenants.database import prepared
from tenants.database.prepared import prepared_cursor
from tenants.exceptions import ContextElsewhereError
from tenants.models import Tenant
from tenants.transactions import execute_with_commit, run_in_scope
from tests.integration.tenants.sql import APP, PLATFORM, make_key, transaction_settings

pytestmark = pytest.mark.django_db(transaction=True)

_SETTINGS = "SELECT current_user, current_setting('app.tenant_id', true), %s::int"
_NAMES = "SELECT name FROM tenants_apikey WHERE name <> %s ORDER BY name"
OUTSIDE = (APP, "")


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    connection.ensure_connection()
    yield
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE
    assert transaction_settings() == OUTSIDE


def sent_by(ask: Callable[[], object], folder: Path) -> tuple[list[str], list[str]]:
    """Return the messages to the server and from it, by libpq's own trace."""
    trace = folder / "trace"
    with trace.open("wb") as file:
        connection.connection.pgconn.trace(file.fileno())
        try:
            ask()
        finally:
            connection.connection.pgconn.untrace()
    lines = [line.split("\t") for line in trace.read_text().splitlines()]
    return ["\t".join(line[1:]) for line in lines if line[1] == "F"], [line[3] for line in lines if line[1] == "B"]


def status() -> TransactionStatus:
    return TransactionStatus(connection.connection.info.transaction_status)


def prepared_settings() -> tuple[Any, ...]:
    with prepared_cursor() as cursor:
        cursor.execute(_SETTINGS, [1])
        return tuple(cursor.fetchone())


def test_scope_without_statements_begins_no_transaction(acme: Tenant) -> None:
    with tenant_context(acme):
        assert status() == TransactionStatus.IDLE
    with all_tenants():
        pass


def test_first_prepared_statement_has_the_settings(acme: Tenant) -> None:
    with tenant_context(acme):
        assert prepared_settings() == (APP, str(acme.pk), 1)
        assert status() == TransactionStatus.INTRANS
        assert prepared_settings() == (APP, str(acme.pk), 1)
    with all_tenants({"statement_timeout": "7s"}), prepared_cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('statement_timeout'), %s::int", [1])
        assert cursor.fetchone() == (PLATFORM, "7s", 1)


def test_first_django_statement_has_the_settings(acme: Tenant) -> None:
    with tenant_context(acme):
        assert transaction_settings() == (APP, str(acme.pk))
        assert status() == TransactionStatus.INTRANS


@pytest.mark.parametrize("has_savepoint", [True, False])
def test_nested_context_within_a_deferred_one_has_its_settings(
    acme: Tenant, globex: Tenant, has_savepoint: bool
) -> None:
    with tenant_context(acme):
        with tenant_context(globex, has_savepoint=has_savepoint):
            assert prepared_settings() == (APP, str(globex.pk), 1)
        assert prepared_settings() == (APP, str(acme.pk), 1)
    with tenant_context(acme):
        with suppress(ZeroDivisionError), tenant_context(globex):
            _ = 1 / 0
        assert prepared_settings() == (APP, str(acme.pk), 1)


def test_rows_of_the_first_statement_are_committed_or_rolled_back(acme: Tenant) -> None:
    insert = "INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta) VALUES (%s, 1, 1, 7)"
    for failure in (False, True):
        with suppress(ZeroDivisionError), all_tenants(), prepared_cursor() as cursor:
            cursor.execute(insert, [acme.pk])
            assert cursor.rowcount == 1
            if failure:
                _ = 1 / 0
    assert query_cross_tenant("SELECT count(*) FROM scheduling_wake WHERE waiting_delta = %s", [7]) == [(1,)]


def test_error_of_the_first_statement_is_djangos_and_rolls_back(acme: Tenant, globex: Tenant) -> None:
    for _ in range(2):
        with pytest.raises(DataError), tenant_context(acme), prepared_cursor() as cursor:
            cursor.execute("SELECT 1 / %s", [0])
    with tenant_context(globex):
        assert prepared_settings() == (APP, str(globex.pk), 1)


def test_settings_of_a_closed_connection_do_not_apply_to_another(acme: Tenant, globex: Tenant) -> None:
    """Cover a job that left its transaction open."""
    left = tenant_context(acme)
    left.__enter__()
    connection.close()
    connection.connect()
    assert transaction_settings() == OUTSIDE
    assert prepared_settings() == (APP, None, 1)  # a new session has no setting
    assert status() == TransactionStatus.IDLE
    with transaction.atomic():
        assert transaction_settings() == OUTSIDE
        with pytest.raises(ContextElsewhereError):
            current_scope()
    with tenant_context(globex):
        assert prepared_settings() == (APP, str(globex.pk), 1)
    with suppress(Exception):
        left.__exit__(None, None, None)


def test_statement_after_an_empty_scope_begins_no_transaction(acme: Tenant) -> None:
    with tenant_context(acme):
        pass
    assert prepared_settings()[0] == APP
    assert status() == TransactionStatus.IDLE
    with transaction.atomic():
        assert transaction_settings() == OUTSIDE


def test_statements_are_wrapped_on_a_connection_opened_within_a_wrapper(acme: Tenant) -> None:
    connection.execute_wrappers.remove(run_in_scope)
    connection.close()
    with connection.execute_wrapper(lambda execute, *rest: execute(*rest)):
        connection.ensure_connection()
    assert connection.execute_wrappers.count(run_in_scope) == 1
    with tenant_context(acme):
        assert transaction_settings() == (APP, str(acme.pk))


def test_beginning_and_settings_are_one_message(acme: Tenant, tmp_path: Path) -> None:
    prepared_settings()
    with tenant_context(acme):
        asked, answers = sent_by(prepared_settings, tmp_path)
        assert sum('"BEGIN;' in message for message in asked) == 1
        assert answers.count("ReadyForQuery") == 2
        assert "NoticeResponse" not in answers
        asked, answers = sent_by(prepared_settings, tmp_path)
        assert not any("BEGIN" in message for message in asked)
        assert answers.count("ReadyForQuery") == 1


def test_cross_tenant_query_is_one_message(tmp_path: Path) -> None:
    """Send one message even if the statement is prepared for the first time."""
    query_cross_tenant("SELECT %s::int", [1])
    for _ in range(2):
        asked, answers = sent_by(lambda: query_cross_tenant(_SETTINGS, [3]), tmp_path)
        assert answers.count("ReadyForQuery") == 1
        assert not any("BEGIN" in message or "COMMIT" in message for message in asked)
        assert "NoticeResponse" not in answers


def test_plans_are_dropped_before_a_deferred_transaction(
    acme: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared_settings()
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 0.0)
    with tenant_context(acme):
        asked, answers = sent_by(prepared_settings, tmp_path)
        assert sum('"BEGIN;' in message for message in asked) == 1
        assert "NoticeResponse" not in answers
        assert prepared_settings() == (APP, str(acme.pk), 1)


@pytest.mark.parametrize("within", [True, False])
def test_interruption_is_raised_and_closes_the_connection(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, within: bool
) -> None:
    wait = psycopg.Connection.wait

    def interrupt(self: Any, results: Any, *rest: Any, **options: Any) -> Any:
        if getattr(results, "__name__", "") == "_exit_gen":
            raise KeyboardInterrupt
        return wait(self, results, *rest, **options)

    raw = connection.connection
    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Connection, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            if within:
                with tenant_context(acme):
                    execute_with_commit("SELECT %(number)s::int", {"number": 3})
            else:
                query_cross_tenant(_SETTINGS, [3])
    assert raw.closed
    connection.close()
    with tenant_context(acme):
        assert prepared_settings() == (APP, str(acme.pk), 1)


def test_cross_tenant_query_sees_all_rows_and_leaves_no_access(acme: Tenant, globex: Tenant) -> None:
    make_key(acme, "a", enter=True)
    make_key(globex, "g", enter=True)
    for _ in range(3):
        assert query_cross_tenant(_NAMES, ["-"]) == [("a",), ("g",)]
        assert status() == TransactionStatus.IDLE
        assert transaction_settings() == OUTSIDE
    assert query_cross_tenant(_SETTINGS, [3]) == [(PLATFORM, "", 3)]


def test_cross_tenant_query_within_a_transaction_is_part_of_it(acme: Tenant, globex: Tenant) -> None:
    make_key(globex, "g", enter=True)
    with tenant_context(acme):
        make_key(acme, "not yet committed")
        assert query_cross_tenant(_NAMES, ["-"]) == [("g",), ("not yet committed",)]
        assert transaction_settings() == (APP, str(acme.pk))
    with transaction.atomic():
        assert query_cross_tenant(_NAMES, ["-"]) == [("g",), ("not yet committed",)]


def test_failed_cross_tenant_query_leaves_the_connection_usable(acme: Tenant) -> None:
    make_key(acme, "a", enter=True)
    for _ in range(2):
        with pytest.raises(DataError):
            query_cross_tenant("SELECT 1 / %s", [0])
        assert transaction_settings() == OUTSIDE
    assert query_cross_tenant(_NAMES, ["-"]) == [("a",)]


def test_beginnings_work_without_prepared_statements(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    with tenant_context(acme):
        assert prepared_settings() == (APP, str(acme.pk), 1)
    assert query_cross_tenant(_SETTINGS, [3]) == [(PLATFORM, "", 3)]
