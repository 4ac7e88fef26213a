"""Migrations of a scheduler in use: back and forth nothing drifts, and whatever was interrupted is run once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now

from scheduling.dispatch.tick import run_tick
from scheduling.execution import verdicts
from scheduling.execution.settlement import settle
from scheduling.execution.start import start_execution
from scheduling.fleet.workers import register_worker
from scheduling.models import LiveExecution, PoolClock, SchedulingEntity, TenantCapacity, WorkerPool
from tenants.context import all_tenants
from tenants.database.conf import OWNER_ALIAS
from tenants.tenancy.service import create_tenant
from tests.checks import faults_of
from tests.databases import TestDatabase
from tests.integration.scheduling.acts import submit

pytestmark = pytest.mark.django_db(databases=["default", "owner"], transaction=True)

BEFORE_KEYS, KEYS = "0009_tracing_and_canaries", "0010_fair_keys"
BEFORE_MESSAGES = "0012_time_slices"


class StepEndedError(Exception):
    """The migration ends here."""


@pytest.fixture
def own_database(django_db_setup: TestDatabase, worker_id: str) -> Iterator[None]:
    """A database that no other test meets while its tables are older."""
    database = TestDatabase(f"{worker_id}_migrations")
    database.create()
    try:
        yield
    finally:
        database.destroy()
        django_db_setup.use()


def migrate(*target: str) -> None:
    call_command("migrate", *target, verbosity=0, interactive=False, skip_checks=True)


def in_flight() -> tuple[dict[str, tuple[int, int]], list[int]]:
    """By line what is in flight of it and of its keys; and of each tenant."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT fair_key, in_flight, keys_in_flight FROM scheduling_schedulingentity")
        lines = {key: (own, keys) for key, own, keys in cursor.fetchall()}
        cursor.execute("SELECT in_flight FROM scheduling_tenant_capacity")
        return lines, [count for (count,) in cursor.fetchall()]


def put_in_one_message() -> None:
    """Three jobs of a tenant, one of them of a key, in one message; one has ended, and no tick knows of that yet."""
    acme = create_tenant(slug="acme", name="Acme", plan="team")
    worker = register_worker(pool_name="default", hostname="test", pid=1, slots=4)
    ended = submit(acme, 2)[0]
    submit(acme, fair_key="ann")
    run_tick(WorkerPool.objects.get(name="default").pk)
    message_id = uuid4()
    with all_tenants():
        assert LiveExecution.objects.update(message_id=message_id) == 3
        live = LiveExecution.objects.get(job_id=ended.pk)
        SchedulingEntity.objects.update(in_flight=1)
        SchedulingEntity.objects.filter(parent=None).update(keys_in_flight=1)
        TenantCapacity.objects.update(in_flight=1)
        PoolClock.objects.update(ticked_at=Now())
    started = start_execution(execution_id=live.id, token=live.token, worker_id=worker.worker_id)
    assert started is not None
    assert settle([verdicts.completed(started.execution_id, started.fence, None)])
    assert faults_of("counters", "ready") == []


def test_what_shares_a_message_is_counted_right_by_either_version(own_database: None) -> None:
    put_in_one_message()
    migrate("scheduling", BEFORE_MESSAGES)
    assert in_flight() == ({"": (2, 1), "ann": (1, 0)}, [3])
    migrate()
    assert in_flight() == ({"": (2, 1), "ann": (1, 0)}, [3])
    assert faults_of("counters", "ready") == []


class Interrupted:
    """A migration that is interrupted before each of its steps in turn, and begun anew each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        loader = MigrationLoader(connections[OWNER_ALIAS])
        self.before = loader.project_state(("scheduling", BEFORE_KEYS))
        self.migration: Migration = loader.get_migration("scheduling", KEYS)

    def apply(self) -> None:
        with connections[OWNER_ALIAS].schema_editor(atomic=self.migration.atomic) as editor:
            self.migration.apply(self.before.clone(), editor)

    def unapply(self) -> None:
        with connections[OWNER_ALIAS].schema_editor(atomic=self.migration.atomic) as editor:
            self.migration.unapply(self.before.clone(), editor)

    def interrupt(self, step: Operation, direction: str) -> None:
        def end(*_: Any, **__: Any) -> None:
            raise StepEndedError

        with self.monkeypatch.context() as patch:
            patch.setattr(step, f"database_{direction}", end)
            with pytest.raises(StepEndedError):
                (self.apply if direction == "forwards" else self.unapply)()


def columns_and_indexes() -> set[str]:
    with connections[OWNER_ALIAS].cursor() as cursor:
        cursor.execute(
            """
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = 'scheduling_schedulingentity'::regclass AND attnum > 0 AND NOT attisdropped
            UNION SELECT pg_get_indexdef(indexrelid) || indisvalid FROM pg_index
                WHERE indrelid = 'scheduling_schedulingentity'::regclass
            UNION SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint
                WHERE conrelid = 'scheduling_schedulingentity'::regclass
            """
        )
        return {name for (name,) in cursor.fetchall()}


def test_the_keys_of_tenants_come_and_go_however_often_that_is_interrupted(
    own_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate("scheduling", KEYS)
    with_keys = columns_and_indexes()
    migrate("scheduling", BEFORE_KEYS)
    without_keys = columns_and_indexes()
    migration = Interrupted(monkeypatch)
    for step in migration.migration.operations:
        migration.interrupt(step, "forwards")
    migration.apply()
    assert columns_and_indexes() == with_keys
    for step in reversed(migration.migration.operations):
        migration.interrupt(step, "backwards")
    migration.unapply()
    assert columns_and_indexes() == without_keys
