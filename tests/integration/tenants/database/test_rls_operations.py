"""Migration operations for row-level security: their effect and its reversal."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connections, migrations, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from tenants.context import all_tenants, tenant_context
from tenants.database.conf import OWNER_ALIAS
from tenants.database.grants import grant_tables
from tenants.database.ids import uuid7, uuid7_floor
from tenants.database.partitions import create_partition, drop_partition
from tenants.database.rls import (
    AddCompositeForeignKey,
    CreatePartitionedModel,
    EnableRowSecurity,
    OrphanRowsError,
    cross_tenant_migration,
)
from tests.databases import SERVER_DATABASE, connect_as_owner, drop_when_free
from tests.integration.tenants.sql import OWNER, run_sql

pytestmark = pytest.mark.django_db(databases=["default", "owner"], transaction=True)

ID = ("id", models.UUIDField(primary_key=True, default=uuid7))
TENANT_ID = ("tenant_id", models.UUIDField())
PARENT = migrations.CreateModel(
    "Parent",
    [ID, TENANT_ID],
    options={"constraints": [models.UniqueConstraint(fields=["tenant_id", "id"], name="parent_tenant_id")]},
)
CHILD = migrations.CreateModel("Child", [ID, TENANT_ID, ("parent_id", models.UUIDField(null=True))])
TIE = AddCompositeForeignKey("Child", columns=("tenant_id", "parent_id"), to="planted.Parent", on_delete="SET NULL")
ACME, GLOBEX = uuid7(), uuid7()


class Applied:
    """Operations applied as the owner, with the states that reversing them needs."""

    def __init__(self) -> None:
        self.state = ProjectState()
        self.done: list[tuple[migrations.operations.base.Operation, ProjectState, ProjectState]] = []

    def apply(self, *operations) -> None:
        for operation in operations:
            before, after = self.state, self.state.clone()
            operation.state_forwards("planted", after)
            with connections[OWNER_ALIAS].schema_editor() as editor:
                operation.database_forwards("planted", editor, before, after)
            self.done.append((operation, before, after))
            self.state = after

    def undo(self) -> None:
        operation, before, after = self.done.pop()
        with connections[OWNER_ALIAS].schema_editor() as editor:
            operation.database_backwards("planted", editor, after, before)
        self.state = before


@pytest.fixture
def planted():
    applied = Applied()
    yield applied
    while applied.done:
        applied.undo()
    assert run_sql("SELECT relname FROM pg_class WHERE relname LIKE 'planted%%'") == []


def insert(table: str, **values) -> None:
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    run_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", *values.values())


def test_row_security_limits_each_tenant_to_its_own_rows(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent"))
    for tenant in (ACME, GLOBEX):
        with tenant_context(tenant):
            insert("planted_parent", id=uuid7(), tenant_id=tenant)
            assert run_sql("SELECT tenant_id FROM planted_parent") == [(tenant,)]
            with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
                insert("planted_parent", id=uuid7(), tenant_id=uuid7())
    with all_tenants():
        assert len(run_sql("SELECT 1 FROM planted_parent")) == 2
    assert run_sql("SELECT 1 FROM planted_parent") == []


def test_row_security_is_reversed_completely(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent", app_may=["SELECT", "INSERT"]))
    count = "SELECT count(*) FROM pg_policies WHERE tablename = 'planted_parent'"
    assert run_sql(count) == [(3,)]
    planted.undo()
    assert run_sql(count) == [(0,)]
    flags = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = 'planted_parent'"
    assert run_sql(flags) == [(False, False)]


def test_narrowed_table_grants_no_more_than_its_policies(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent", app_may=["SELECT", "INSERT"], platform_may=["SELECT", "DELETE"]))
    [grants] = grant_tables(connections[OWNER_ALIAS], ["planted_parent"])
    assert grants.app == {"SELECT", "INSERT"}
    assert grants.platform == {"SELECT", "INSERT", "DELETE"}
    with tenant_context(ACME):
        insert("planted_parent", id=uuid7(), tenant_id=ACME)
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            run_sql("DELETE FROM planted_parent")
    with all_tenants():
        run_sql("DELETE FROM planted_parent")


def test_shared_table_is_readable_by_all_and_written_by_the_platform(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent", column=None, app_may=["SELECT"]))
    with all_tenants():
        insert("planted_parent", id=uuid7(), tenant_id=GLOBEX)
    with tenant_context(ACME):
        assert len(run_sql("SELECT 1 FROM planted_parent")) == 1
    assert len(run_sql("SELECT 1 FROM planted_parent")) == 1
    with pytest.raises(ProgrammingError, match="permission denied"):
        run_sql("DELETE FROM planted_parent")


def test_composite_key_clears_only_the_reference_of_a_deleted_target(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent"), CHILD, EnableRowSecurity("Child"), TIE)
    parent, child = uuid7(), uuid7()
    with all_tenants():
        insert("planted_parent", id=parent, tenant_id=ACME)
        insert("planted_child", id=child, tenant_id=ACME, parent_id=parent)
        with pytest.raises(IntegrityError, match="planted_child_parent_id_same_tenant"), transaction.atomic():
            insert("planted_child", id=uuid7(), tenant_id=GLOBEX, parent_id=parent)
        run_sql("DELETE FROM planted_parent")
        assert run_sql("SELECT tenant_id, parent_id FROM planted_child") == [(ACME, None)]


def test_composite_key_over_orphans_is_refused(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent"), CHILD, EnableRowSecurity("Child"))
    with all_tenants():
        # FORCE hides this row from the owner: a plain count would find no orphan.
        insert("planted_child", id=uuid7(), tenant_id=ACME, parent_id=uuid7())
    with pytest.raises(OrphanRowsError, match="1 rows of planted_child"):
        planted.apply(TIE)
    with all_tenants():
        run_sql("DELETE FROM planted_child")
    planted.apply(TIE)
    planted.undo()
    assert run_sql("SELECT conname FROM pg_constraint WHERE conname LIKE 'planted%%same_tenant'") == []


def test_long_table_name_keeps_the_end_of_its_constraint():
    name = AddCompositeForeignKey("X", columns=("tenant_id", "job_id"), to="a.B")._constraint_name("t" * 63)
    assert len(name) == 63
    assert name.endswith("_job_id_same_tenant")


def test_operations_can_be_printed(planted):
    planted.apply(PARENT, CHILD)
    with connections[OWNER_ALIAS].schema_editor(collect_sql=True) as editor:
        for operation in (EnableRowSecurity("Child"), TIE):
            operation.database_forwards("planted", editor, planted.state, planted.state)
    printed = "\n".join(editor.collected_sql)
    assert 'ALTER TABLE "planted_child" FORCE ROW LEVEL SECURITY;' in printed
    assert "nullif(current_setting('app.tenant_id', true), '')::uuid" in printed
    assert 'ON DELETE SET NULL ("parent_id")' in printed


def test_data_migration_changes_rows_only_in_the_platform_scope(planted):
    planted.apply(PARENT, EnableRowSecurity("Parent"))
    with all_tenants():
        insert("planted_parent", id=uuid7(), tenant_id=ACME)
    owner = connections[OWNER_ALIAS]
    with owner.schema_editor() as editor, owner.cursor() as cursor:
        cursor.execute("UPDATE planted_parent SET tenant_id = %s", [GLOBEX])
        assert cursor.rowcount == 0
        with cross_tenant_migration(editor):
            cursor.execute("UPDATE planted_parent SET tenant_id = %s", [GLOBEX])
            assert cursor.rowcount == 1
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (OWNER,)


def test_partitioned_model_keeps_rows_in_its_default_partition(planted):
    planted.apply(CreatePartitionedModel("Event", [ID, TENANT_ID]), EnableRowSecurity("Event"))
    with tenant_context(ACME):
        insert("planted_event", id=uuid7(), tenant_id=ACME)
        assert run_sql("SELECT tableoid::regclass::text FROM planted_event") == [("planted_event_default",)]
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            run_sql("SELECT 1 FROM planted_event_default")


def test_partitions_are_created_and_dropped_in_the_platform_scope(planted, django_db_setup):
    planted.apply(CreatePartitionedModel("Event", [ID, TENANT_ID]), EnableRowSecurity("Event"))
    starts_at = datetime.now(UTC) - timedelta(hours=1)
    with all_tenants():
        name = create_partition(table="planted_event", starts_at=starts_at, ends_at=starts_at + timedelta(hours=2))
        assert re.fullmatch(r"planted_event_[0-9a-f]{12}", name)
    with tenant_context(ACME):
        insert("planted_event", id=uuid7(), tenant_id=ACME)
        assert run_sql("SELECT tableoid::regclass::text FROM planted_event") == [(name,)]
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            run_sql(f"SELECT 1 FROM {name}")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            drop_partition(partition=name)
    with all_tenants():
        drop_partition(partition=name)
        assert run_sql("SELECT 1 FROM planted_event") == []


@pytest.mark.parametrize(
    "name", ["planted_parent", "planted_event_default", "planted_event", "nothing", 'x"; DROP TABLE auth_user; --']
)
def test_default_partition_and_plain_tables_cannot_be_dropped_as_partitions(planted, name):
    planted.apply(PARENT, CreatePartitionedModel("Event", [ID, TENANT_ID]))
    with pytest.raises(ProgrammingError, match="not a partition"), all_tenants():
        drop_partition(partition=name)


def test_plain_table_gets_no_partitions(planted):
    planted.apply(PARENT)
    moment = datetime.now(UTC)
    with pytest.raises(ProgrammingError, match="not a partitioned table"), all_tenants():
        create_partition(table="planted_parent", starts_at=moment, ends_at=moment + timedelta(days=1))


def test_partition_over_rows_of_the_default_one_is_refused(planted):
    planted.apply(CreatePartitionedModel("Event", [ID, TENANT_ID]), EnableRowSecurity("Event"))
    with tenant_context(ACME):
        insert("planted_event", id=uuid7(), tenant_id=ACME)
    moment = datetime.now(UTC)
    with pytest.raises(IntegrityError, match="planted_event_default"), all_tenants():
        create_partition(table="planted_event", starts_at=moment - timedelta(1), ends_at=moment + timedelta(1))


def test_migrations_of_this_app_are_reversible(django_db_setup):
    """Migrate an empty database to the latest migration, back to none, and forward again."""
    name = f"{django_db_setup.name}_empty"
    with connect_as_owner("postgres") as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{SERVER_DATABASE}_template"')
    owner = connections[OWNER_ALIAS]
    owner.close()
    before, owner.settings_dict["NAME"] = owner.settings_dict["NAME"], name
    try:
        for target in (["tenants"], ["tenants", "zero"], ["tenants"]):
            call_command("migrate", *target, verbosity=0, interactive=False, skip_checks=True)
        with owner.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_policies")
            assert cursor.fetchone()[0] > 10
    finally:
        owner.close()
        owner.settings_dict["NAME"] = before
        with connect_as_owner("postgres") as server:
            drop_when_free(server, name)


def test_database_of_an_earlier_development_version_is_refused_with_the_fix(monkeypatch):
    history = {("auth", "0001_initial"): None, ("tenants", "0001_tenancy"): None}
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda recorder: history)
    with pytest.raises(CommandError, match="delete the folder var/dev"):
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)


def test_uuid7_floor_of_a_time_is_the_start_of_its_partition():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert str(uuid7_floor(moment)).replace("-", "")[:12] == f"{int(moment.timestamp() * 1000):012x}"
