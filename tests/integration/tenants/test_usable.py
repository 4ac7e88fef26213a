"""Whether an open connection still lives is seen without asking the server, unless it has said something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.databases import TestDatabase

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def killer(django_db_setup: TestDatabase, db: None) -> Iterator[psycopg.Connection[Any]]:
    settings = connection.get_connection_params()
    settings = {name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings}
    with psycopg.connect(**settings, autocommit=True) as opened:
        yield opened


def test_one_that_rests_is_usable_and_the_server_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.ensure_connection()
    monkeypatch.setattr(connection.connection, "cursor", lambda: pytest.fail("the server was asked"))
    assert connection.is_usable()


def test_one_that_the_server_has_ended_is_not(killer: psycopg.Connection[Any]) -> None:
    connection.ensure_connection()
    killer.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    assert not connection.is_usable()
    connection.close()


def test_a_request_after_the_server_has_ended_the_session_gets_another(killer: psycopg.Connection[Any]) -> None:
    connection.ensure_connection()
    before = connection.connection.info.backend_pid
    connection.health_check_enabled, connection.health_check_done = True, False
    killer.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] != before


def test_one_in_a_failed_transaction_is_not(db: None) -> None:
    connection.ensure_connection()
    with connection.connection.cursor() as cursor, pytest.raises(psycopg.errors.DivisionByZero):
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1/0")
    assert not connection.is_usable()
    connection.close()
