"""The write probe: it writes to the log and the disk, and reports the error."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from tenants.database import write_probe
from tenants.database.write_probe import READ_ONLY, WriteWatch
from tests.acceptance.processes import eventually
from tests.databases import TestDatabase, connect_as_owner

pytestmark = pytest.mark.django_db(transaction=True)


def files_written() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT temp_files FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_probe_without_a_fault_writes_a_file_to_disk() -> None:
    before = files_written()
    assert WriteWatch().read() == ""
    eventually(lambda: files_written() > before, within=30.0, what="the file of the probe is counted")


@pytest.fixture
def read_only(django_db_setup: TestDatabase) -> Iterator[None]:
    """Make new sessions read-only, as on a standby."""
    name = sql.Identifier(django_db_setup.name)
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        yield
        owner.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))


def test_read_only_server_is_a_fault(read_only: None) -> None:
    assert WriteWatch().read() == READ_ONLY


def test_full_disk_is_a_fault_with_postgresqls_message(monkeypatch: pytest.MonkeyPatch) -> None:
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    monkeypatch.setattr(write_probe, "_PROBE", full)
    assert WriteWatch().read() == "PostgreSQL does not accept writes: could not extend file"


def test_unreachable_database_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr("django.db.backends.postgresql.base.DatabaseWrapper.get_new_connection", refuse)
    assert "connection refused" in WriteWatch().read()


def test_result_is_cached_for_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    probes: list[None] = []

    def probe() -> str:
        probes.append(None)
        return "full"

    monkeypatch.setattr(write_probe, "find_write_fault", probe)
    now = 100.0
    monkeypatch.setattr(write_probe, "time", SimpleNamespace(monotonic=lambda: now))
    watch = WriteWatch()
    assert [watch.read() for _ in range(3)] == ["full"] * 3
    assert len(probes) == 1
    now += 5.0
    watch.read()
    assert len(probes) == 2
