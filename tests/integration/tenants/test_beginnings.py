"""A transaction begins with its first statement, together with its settings; and a look needs none of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import DataError, connection, transaction
from psycopg.pq import TransactionStatus

from tenants.context import all_tenants, look_through_door, tenant_context
from tenants.models import Tenant
from tenants.prepared import prepared_cursor
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


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that several statements were sent at once."""
    opened: list[None] = []
    pipeline = psycopg.Connection.pipeline

    def count(self: psycopg.Connection[Any]) -> Any:
        opened.append(None)
        return pipeline(self)

    monkeypatch.setattr(psycopg.Connection, "pipeline", count)
    return opened


def status() -> TransactionStatus:
    return TransactionStatus(connection.connection.info.transaction_status)


def prepared_settings() -> tuple[Any, ...]:
    with prepared_cursor() as cursor:
        cursor.execute(_SETTINGS, [1])
        return tuple(cursor.fetchone())


def test_where_nothing_is_asked_nothing_begins(acme: Tenant) -> None:
    with tenant_context(acme):
        assert status() == TransactionStatus.IDLE
    with all_tenants():
        pass


def test_the_first_prepared_statement_finds_the_settings(acme: Tenant) -> None:
    with tenant_context(acme):
        assert prepared_settings() == (APP, str(acme.pk), 1)
        assert status() == TransactionStatus.INTRANS
        assert prepared_settings() == (APP, str(acme.pk), 1)
    with all_tenants({"statement_timeout": "7s"}), prepared_cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('statement_timeout'), %s::int", [1])
        assert cursor.fetchone() == (PLATFORM, "7s", 1)


def test_the_first_statement_of_djangos_finds_them_too(acme: Tenant) -> None:
    with tenant_context(acme):
        assert transaction_settings() == (APP, str(acme.pk))
        assert status() == TransactionStatus.INTRANS


@pytest.mark.parametrize("has_savepoint", [True, False])
def test_a_context_within_one_that_has_not_begun(acme: Tenant, globex: Tenant, has_savepoint: bool) -> None:
    with tenant_context(acme):
        with tenant_context(globex, has_savepoint=has_savepoint):
            assert prepared_settings() == (APP, str(globex.pk), 1)
        assert prepared_settings() == (APP, str(acme.pk), 1)
    with tenant_context(acme):
        with suppress(ZeroDivisionError), tenant_context(globex):
            _ = 1 / 0
        assert prepared_settings() == (APP, str(acme.pk), 1)


def test_rows_written_by_the_first_statement_are_committed_or_taken_back(acme: Tenant) -> None:
    insert = "INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta) VALUES (%s, 1, 1, 7)"
    for failure in (False, True):
        with suppress(ZeroDivisionError), all_tenants(), prepared_cursor() as cursor:
            cursor.execute(insert, [acme.pk])
            assert cursor.rowcount == 1
            if failure:
                _ = 1 / 0
    assert look_through_door("SELECT count(*) FROM scheduling_wake WHERE waiting_delta = %s", [7]) == [(1,)]


def test_an_error_of_the_first_statement_is_djangos_and_takes_it_all_back(acme: Tenant, globex: Tenant) -> None:
    for _ in range(2):
        with pytest.raises(DataError), tenant_context(acme), prepared_cursor() as cursor:
            cursor.execute("SELECT 1 / %s", [0])
    with tenant_context(globex):
        assert prepared_settings() == (APP, str(globex.pk), 1)


def test_settings_of_a_context_whose_connection_was_closed_are_for_nobody_else(acme: Tenant) -> None:
    """As after a job that left its transaction open."""
    left = tenant_context(acme)
    left.__enter__()
    connection.close()
    connection.connect()
    assert transaction_settings() == OUTSIDE
    assert prepared_settings() == (APP, None, 1)  # in a new session it was never set
    assert status() == TransactionStatus.IDLE
    with suppress(Exception):
        left.__exit__(None, None, None)


def test_settings_and_first_statement_are_sent_at_once_and_no_other(acme: Tenant, pipelines: list[None]) -> None:
    with tenant_context(acme):
        assert pipelines == []
        prepared_settings()
        assert len(pipelines) == 1
        prepared_settings()
        transaction_settings()
    assert len(pipelines) == 1
    look_through_door(_SETTINGS, [3])
    assert len(pipelines) == 2


def test_a_look_through_the_door_sees_all_and_leaves_it_closed(acme: Tenant, globex: Tenant) -> None:
    make_key(acme, "a", enter=True)
    make_key(globex, "g", enter=True)
    for _ in range(3):
        assert look_through_door(_NAMES, ["nobody"]) == [("a",), ("g",)]
        assert status() == TransactionStatus.IDLE
        assert transaction_settings() == OUTSIDE
    assert look_through_door(_SETTINGS, [3]) == [(PLATFORM, "", 3)]


def test_a_look_within_a_transaction_is_a_part_of_it(acme: Tenant, globex: Tenant) -> None:
    make_key(globex, "g", enter=True)
    with tenant_context(acme):
        make_key(acme, "not yet committed")
        assert look_through_door(_NAMES, ["nobody"]) == [("g",), ("not yet committed",)]
        assert transaction_settings() == (APP, str(acme.pk))
    with transaction.atomic():
        assert look_through_door(_NAMES, ["nobody"]) == [("g",), ("not yet committed",)]


def test_a_look_that_fails_leaves_the_connection_good(acme: Tenant) -> None:
    make_key(acme, "a", enter=True)
    for _ in range(2):
        with pytest.raises(DataError):
            look_through_door("SELECT 1 / %s", [0])
        assert transaction_settings() == OUTSIDE
    assert look_through_door(_NAMES, ["nobody"]) == [("a",)]


def test_behind_a_pooler_all_of_it_holds(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    with tenant_context(acme):
        assert prepared_settings() == (APP, str(acme.pk), 1)
    assert look_through_door(_SETTINGS, [3]) == [(PLATFORM, "", 3)]
