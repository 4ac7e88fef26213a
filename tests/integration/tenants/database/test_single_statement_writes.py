"""Writes by `query_cross_tenant`: settings and statement without a BEGIN are one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, connections
from django.db.utils import DataError
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row

from tenants.context import all_tenants, query_cross_tenant
from tenants.database.conf import OWNER_ALIAS
from tests.integration.tenants.sql import APP, PLATFORM, transaction_settings

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", OWNER_ALIAS])

_INSERT = "INSERT INTO probe (number) VALUES (%(number)s) RETURNING number"
_INSERT_AND_FAIL = """
    WITH made AS (INSERT INTO probe (number) VALUES (%(number)s) RETURNING number)
    SELECT 1 / (number - number) FROM made"""


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    """Create a table with a constraint that PostgreSQL checks only at the commit."""
    with connections[OWNER_ALIAS].cursor() as cursor:
        cursor.execute("CREATE TABLE probe (number bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        cursor.execute("GRANT ALL ON probe TO PUBLIC")
    yield
    with connections[OWNER_ALIAS].cursor() as cursor:
        cursor.execute("DROP TABLE probe")


def numbers() -> list[int]:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT number FROM probe ORDER BY 1")
        return [number for (number,) in cursor.fetchall()]


def check_usable() -> None:
    """Assert that the connection is idle, has no settings left, and commits the next statement."""
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE
    assert transaction_settings() == (APP, "")
    assert query_cross_tenant(_INSERT, {"number": 99}) == [(99,)]
    assert 99 in numbers()


def test_statement_is_committed_with_its_answer() -> None:
    for number in (1, 2):
        ((found,),) = query_cross_tenant(_INSERT, {"number": number})
        assert found == number
        assert number in numbers()
    check_usable()


def test_failed_statement_is_rolled_back() -> None:
    for _ in range(2):
        with pytest.raises(DataError):
            query_cross_tenant(_INSERT_AND_FAIL, {"number": 3})
        assert numbers() == []
    check_usable()


def test_failed_commit_is_raised_and_rolled_back() -> None:
    query_cross_tenant(_INSERT, {"number": 4})
    for _ in range(2):
        with pytest.raises(OperationalError):
            query_cross_tenant(_INSERT, {"number": 4})
        assert numbers() == [4]
    check_usable()


@pytest.mark.parametrize("is_pooled", [False, True])
def test_settings_apply_to_the_statement_only(monkeypatch: pytest.MonkeyPatch, is_pooled: bool) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", is_pooled)
    (row,) = query_cross_tenant(
        "SELECT current_user AS role, current_setting('enable_seqscan') AS scan, %(n)s::int AS n",
        {"n": 1},
        settings={"enable_seqscan": "off"},
        row_factory=namedtuple_row,
    )
    assert (row.role, row.scan, row.n) == (PLATFORM, "off", 1)
    with connection.cursor() as cursor:
        cursor.execute("SHOW enable_seqscan")
        assert cursor.fetchone() == ("on",)
    check_usable()


@contextmanager
def locked_probe() -> Iterator[None]:
    """Lock the table in another session."""
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE probe")
            yield
            cursor.execute("ROLLBACK")
    finally:
        other.close()


def test_lock_timeout_applies() -> None:
    with locked_probe(), pytest.raises(OperationalError, match="lock timeout"):
        query_cross_tenant(_INSERT, {"number": 5}, settings={"lock_timeout": "100"})
    assert numbers() == []
    check_usable()
