"""Deferred statements: one that returns nothing is sent with the COMMIT, or before the next statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import DatabaseError, DataError, connection, transaction
from psycopg.pq import TransactionStatus

from tenants.context import all_tenants, query_cross_tenant, tenant_context
from tenants.database.prepared import prepared_cursor
from tenants.models import Tenant
from tenants.transactions import execute_with_commit, transaction_of
from tests.integration.tenants.database.test_deferred_transactions import OUTSIDE, sent_by
from tests.integration.tenants.sql import run_sql, transaction_settings

pytestmark = pytest.mark.django_db(transaction=True)

# In one line, as it appears in the trace.
_INSERT = (
    "INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta) VALUES (%(tenant)s, 1, 1, 10 / %(by)s)"
)
_READ = "SELECT waiting_delta FROM scheduling_wake WHERE entity_id = %s ORDER BY waiting_delta"


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    connection.ensure_connection()
    yield
    assert count_behind() == 0
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE
    assert transaction_settings() == OUTSIDE


def count_behind() -> int:
    """Return how many statements wait for the COMMIT."""
    found = transaction_of(transaction.get_connection())
    return 0 if found is None else len(found.behind)


def write(tenant: Tenant, by: int = 2) -> None:
    """Write ten divided by the argument; zero is an error of the database."""
    execute_with_commit(_INSERT, {"tenant": tenant.pk, "by": by})


def read_prepared() -> list[int]:
    with prepared_cursor() as cursor:
        cursor.execute(_READ, [1])
        return [value for (value,) in cursor.fetchall()]


def read_by_django() -> list[int]:
    return [value for (value,) in run_sql(_READ, 1)]


def written() -> list[int]:
    """Return what is committed."""
    return [value for (value,) in query_cross_tenant(_READ, [1])]


def test_deferred_statement_and_commit_are_one_message(acme: Tenant, tmp_path: Path) -> None:
    def submit() -> None:
        with tenant_context(acme):
            write(acme)

    assert written() == []
    for count in (1, 2):
        asked, answers = sent_by(submit, tmp_path)
        # One message for the beginning, another for the rest.
        assert answers.count("ReadyForQuery") == 2
        assert sum('"BEGIN;' in message for message in asked) == sum('"COMMIT"' in message for message in asked) == 1
        assert "NoticeResponse" not in answers
        assert written() == [5] * count


@pytest.mark.parametrize("read", [read_prepared, read_by_django])
@pytest.mark.parametrize("reads_before", [True, False])
def test_deferred_statement_is_visible_to_the_next_one(
    acme: Tenant, read: Callable[[], list[int]], reads_before: bool
) -> None:
    with tenant_context(acme):
        if reads_before:
            read()
        write(acme)
        assert count_behind() == 1
        assert read() == [5]
        assert count_behind() == 0
        write(acme, by=5)
        write(acme, by=1)
        assert count_behind() == 2
        assert read() == [2, 5, 10]
        assert written() == [2, 5, 10]  # within the transaction it is part of it
    assert written() == [2, 5, 10]


def test_deferred_statement_is_rolled_back_with_its_transaction(acme: Tenant) -> None:
    with suppress(ZeroDivisionError), tenant_context(acme):
        write(acme)
        _ = 1 / 0
    assert written() == []
    with tenant_context(acme):
        write(acme)
        with suppress(ZeroDivisionError), transaction.atomic():
            write(acme, by=5)
            _ = 1 / 0
        with transaction.atomic():
            write(acme, by=1)
    assert written() == [5, 10]


def test_deferred_error_is_raised_by_the_commit_and_prevents_it(acme: Tenant) -> None:
    for _ in range(2):
        with pytest.raises(DataError), tenant_context(acme):
            write(acme)
            read_prepared()
            write(acme, by=0)
        assert connection.connection.info.transaction_status == TransactionStatus.IDLE
    assert written() == []
    with pytest.raises(DataError), tenant_context(acme):
        write(acme, by=0)
    committed: list[str] = []
    with pytest.raises(DataError), tenant_context(acme):
        transaction.on_commit(lambda: committed.append("committed"))
        write(acme, by=0)
    assert committed == []
    with tenant_context(acme):
        write(acme)
    assert written() == [5]


@pytest.mark.parametrize("read", [read_prepared, read_by_django])
def test_deferred_error_is_raised_by_the_next_statement(acme: Tenant, read: Callable[[], list[int]]) -> None:
    with pytest.raises(DataError), tenant_context(acme):
        write(acme, by=0)
        read()
    assert written() == []


def test_deferred_row_of_another_tenant_is_refused(acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(DatabaseError), tenant_context(acme):
        write(globex)
    # The context in which it was deferred applies.
    with tenant_context(acme):
        with tenant_context(globex, has_savepoint=False):
            write(globex)
        write(acme)
    assert written() == [5, 5]


def test_deferred_statement_without_a_transaction_runs_at_once(acme: Tenant) -> None:
    with pytest.raises(DatabaseError):
        write(acme)
    assert written() == []


def test_deferred_statement_behind_a_pooler_runs_at_once(
    acme: Tenant, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    with tenant_context(acme):
        write(acme)
        assert count_behind() == 0
    assert written() == [5]


def test_deferred_statement_of_a_lost_session_is_not_written(acme: Tenant) -> None:
    with pytest.raises(DatabaseError), tenant_context(acme):
        write(acme)
        connection.connection.pgconn.finish()
    connection.close()
    assert written() == []


def test_deferred_value_that_cannot_be_sent_rolls_back(acme: Tenant) -> None:
    """Roll back when the driver refuses the value."""
    committed: list[str] = []
    with pytest.raises(UnicodeEncodeError), tenant_context(acme):
        write(acme)
        read_prepared()
        transaction.on_commit(lambda: committed.append("committed"))
        execute_with_commit("SELECT %(text)s::text", {"text": "\udcff"})
    assert connection.get_autocommit()
    with tenant_context(acme):
        write(acme, by=5)
    assert written() == [2]
    assert committed == []


def test_deferred_statement_is_visible_to_an_open_cursor(acme: Tenant) -> None:
    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute(_READ, [1])
        write(acme)
        cursor.execute(_READ, [1])
        assert cursor.fetchall() == [(5,)]


def test_deferred_statements_are_sent_in_their_order(acme: Tenant) -> None:
    with tenant_context(acme):
        write(acme)
        execute_with_commit("UPDATE scheduling_wake SET waiting_delta = waiting_delta + %(more)s", {"more": 1})
        write(acme, by=1)
        assert count_behind() == 3
    assert written() == [6, 10]


def test_deferred_statement_in_a_broken_transaction_is_refused(acme: Tenant) -> None:
    with pytest.raises(transaction.TransactionManagementError), all_tenants():
        with suppress(DataError), transaction.atomic(savepoint=False):
            read_by_django()
            run_sql("SELECT 1 / 0")
        write(acme)
    assert written() == []
