"""Migration operations for row-level security, composite foreign keys and partitions.

operations = [
    migrations.CreateModel("Job", …),
    rls.EnableRowSecurity("Job"),
    rls.AddCompositeForeignKey("Job", columns=("tenant_id", "batch_id"), to="scheduling.Batch"),
]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from django.db import migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from psycopg import sql

from tenants.database.conf import TENANT_SETTING, platform_role
from tenants.database.grants import grant_tables
from tenants.database.prepared import set_config

Command = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
OnDelete = Literal["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"]

TENANT_POLICY = "tenant_isolation"
PLATFORM_POLICY = "platform_door"


class OrphanRowsError(RuntimeError):
    """Raised if rows refer to missing rows, so that the foreign key cannot be added."""


@contextmanager
def cross_tenant_migration(schema_editor: BaseDatabaseSchemaEditor) -> Iterator[None]:
    """Run a block of a data migration as the platform role, which sees and writes the rows of all tenants.

    Row-level security is forced, so the owner of the tables alone would see no rows.
    """
    connection = schema_editor.connection
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(*set_config({"role": platform_role()}))
        yield
        if not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute(*set_config({"role": "none"}))


class EnableRowSecurity(Operation):
    """Migration operation that enables and forces row-level security on a table, with its policies and privileges.

    `column` holds the tenant's id; None makes every row visible to all (plans, tiers). `app_may` and `platform_may`
    list the SQL commands allowed to a tenant and to the platform role; None allows all.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(
        self,
        model_name: str,
        *,
        column: str | None = "tenant_id",
        app_may: Sequence[Command] | None = None,
        platform_may: Sequence[Command] | None = None,
    ) -> None:
        self.model_name = model_name
        self.column = column
        self.app_may = app_may
        self.platform_may = platform_may

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        options = {"column": self.column, "app_may": self.app_may, "platform_may": self.platform_may}
        return type(self).__name__, [self.model_name], options

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: policies are not part of Django's model state."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Enable row-level security and create the policies."""
        table = _table_of(to_state, app_label, self.model_name)
        name = sql.Identifier(table)
        schema_editor.execute(_render(schema_editor, sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY"), name))
        schema_editor.execute(_render(schema_editor, sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY"), name))
        for policy in (*self._tenant_policies(name), *self._platform_policies(name)):
            schema_editor.execute(_render(schema_editor, policy))
        if not schema_editor.collect_sql:
            grant_tables(schema_editor.connection, [table])

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop the policies and disable row-level security."""
        name = sql.Identifier(_table_of(from_state, app_label, self.model_name))
        for policy, commands in ((TENANT_POLICY, self.app_may), (PLATFORM_POLICY, self.platform_may)):
            for policy_name, _ in _policy_names(policy, commands):
                drop = sql.SQL("DROP POLICY {} ON {}")
                schema_editor.execute(_render(schema_editor, drop, sql.Identifier(policy_name), name))
        schema_editor.execute(_render(schema_editor, sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY"), name))
        schema_editor.execute(_render(schema_editor, sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY"), name))

    def describe(self) -> str:
        return f"Enable row-level security on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_row_security"

    def _tenant_policies(self, table: sql.Identifier) -> Iterator[sql.Composable]:
        own = sql.SQL("true")
        if self.column is not None:
            own = sql.SQL("{} = nullif(current_setting({}, true), '')::uuid").format(
                sql.Identifier(self.column), sql.Literal(TENANT_SETTING)
            )  # type: ignore[assignment]
        for name, command in _policy_names(TENANT_POLICY, self.app_may):
            yield _policy(name, table, command, "public", own)

    def _platform_policies(self, table: sql.Identifier) -> Iterator[sql.Composable]:
        for name, command in _policy_names(PLATFORM_POLICY, self.platform_may):
            yield _policy(name, table, command, platform_role(), sql.SQL("true"))


class AddCompositeForeignKey(Operation):
    """Migration operation for a foreign key over (tenant_id, id), so that no row can refer to another tenant's row.

    Set `db_constraint=False` on the model field, so that Django adds no constraint of its own. `on_delete` is the
    action of PostgreSQL; SET NULL and SET DEFAULT apply to all columns but the first. The constraint is checked
    immediately and can be deferred.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(
        self,
        model_name: str,
        *,
        columns: Sequence[str],
        to: str,
        to_columns: Sequence[str] = ("tenant_id", "id"),
        on_delete: OnDelete = "NO ACTION",
    ) -> None:
        self.model_name = model_name
        self.columns = tuple(columns)
        self.to = to
        self.to_columns = tuple(to_columns)
        self.on_delete = on_delete

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        options = {
            "columns": self.columns,
            "to": self.to,
            "to_columns": self.to_columns,
            "on_delete": self.on_delete,
        }
        return type(self).__name__, [self.model_name], options

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: the constraint is not part of Django's model state."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Add the constraint; raise `OrphanRowsError` if existing rows violate it."""
        table = _table_of(to_state, app_label, self.model_name)
        target = _table_of(to_state, *self.to.split("."))
        if not schema_editor.collect_sql:
            self._refuse_orphans(schema_editor, table, target)
        statement = sql.SQL(
            "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {target} ({to_columns})"
            " ON DELETE {on_delete} DEFERRABLE INITIALLY IMMEDIATE"
        ).format(
            table=sql.Identifier(table),
            name=sql.Identifier(self._constraint_name(table)),
            columns=_identifiers(self.columns),
            target=sql.Identifier(target),
            to_columns=_identifiers(self.to_columns),
            on_delete=self._on_delete_action(),
        )
        schema_editor.execute(_render(schema_editor, statement))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop the constraint."""
        table = _table_of(from_state, app_label, self.model_name)
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
        name = sql.Identifier(self._constraint_name(table))
        schema_editor.execute(_render(schema_editor, drop, sql.Identifier(table), name))

    def describe(self) -> str:
        return f"Restrict {self.model_name} ({', '.join(self.columns)}) to {self.to} of the same tenant"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_{self.columns[-1]}_composite"

    def _constraint_name(self, table: str) -> str:
        # PostgreSQL cuts names at 63 bytes; the suffix must remain.
        suffix = f"_{self.columns[-1]}_same_tenant"
        return table[: 63 - len(suffix)] + suffix

    def _on_delete_action(self) -> sql.Composable:
        if self.on_delete in ("SET NULL", "SET DEFAULT"):
            return sql.SQL("{} ({})").format(sql.SQL(self.on_delete), _identifiers(self.columns[1:]))
        return sql.SQL(self.on_delete)

    def _refuse_orphans(self, schema_editor: Any, table: str, target: str) -> None:
        # Under FORCE the owner sees no rows, so the count runs as the platform role.
        pairs = zip(self.columns, self.to_columns, strict=True)
        count = sql.SQL(
            "SELECT count(*) FROM {table} r WHERE {set} AND NOT EXISTS (SELECT FROM {target} t WHERE {same})"
        ).format(
            table=sql.Identifier(table),
            target=sql.Identifier(target),
            set=sql.SQL(" AND ").join(sql.SQL("r.{} IS NOT NULL").format(sql.Identifier(c)) for c in self.columns),
            same=sql.SQL(" AND ").join(
                sql.SQL("t.{} = r.{}").format(sql.Identifier(to), sql.Identifier(own)) for own, to in pairs
            ),
        )
        grant_tables(schema_editor.connection, [table, target])
        with cross_tenant_migration(schema_editor), schema_editor.connection.cursor() as cursor:
            cursor.execute(count)
            orphans = cursor.fetchone()[0]
        if orphans:
            raise OrphanRowsError(
                f"{orphans} rows of {table} refer by ({', '.join(self.columns)}) to rows that {target} lacks."
            )


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel whose table is partitioned by range of its UUIDv7 `id`, and so by time of creation.

    A default partition takes the rows that no other partition covers; `tenants.database.partitions` creates and drops
    the others. A unique constraint on a partitioned table must contain `id`.
    """

    _template_suffix = " PARTITION BY RANGE (id)"

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create the partitioned table and its default partition."""
        template = schema_editor.sql_create_table
        schema_editor.sql_create_table = template + self._template_suffix
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = template
        table = _table_of(to_state, app_label, self.name)
        default = sql.SQL("CREATE TABLE {} PARTITION OF {} DEFAULT")
        partition = sql.Identifier(f"{table}_default")
        schema_editor.execute(_render(schema_editor, default, partition, sql.Identifier(table)))

    def describe(self) -> str:
        return f"Create partitioned model {self.name}"


def _table_of(state: Any, app_label: str, model_name: str) -> str:
    return str(state.apps.get_model(app_label, model_name)._meta.db_table)


def _policy_names(policy: str, commands: Sequence[Command] | None) -> list[tuple[str, str]]:
    if commands is None:
        return [(policy, "ALL")]
    return [(f"{policy}_{command.lower()}", command) for command in commands]


def _policy(name: str, table: sql.Identifier, command: str, role: str, rows: sql.Composable) -> sql.Composable:
    to = sql.SQL("PUBLIC") if role == "public" else sql.Identifier(role)
    clauses = []
    if command != "INSERT":
        clauses.append(sql.SQL("USING ({})").format(rows))
    if command in ("ALL", "INSERT", "UPDATE"):
        clauses.append(sql.SQL("WITH CHECK ({})").format(rows))
    return sql.SQL("CREATE POLICY {name} ON {table} FOR {command} TO {to} {clauses}").format(
        name=sql.Identifier(name),
        table=table,
        command=sql.SQL(command),
        to=to,
        clauses=sql.SQL(" ").join(clauses),
    )


def _identifiers(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _render(schema_editor: Any, statement: sql.Composable, *arguments: sql.Composable) -> str:
    """Return the statement as text for `schema_editor.execute` and `sqlmigrate`."""
    composed = statement.format(*arguments) if isinstance(statement, sql.SQL) and arguments else statement
    return composed.as_string(schema_editor.connection.connection)
