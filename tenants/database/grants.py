"""Table privileges of the database roles, derived from the row-level policies so that both always agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql
from psycopg.rows import namedtuple_row

from tenants.database.conf import OWNER_ALIAS, app_role, auditor_role, platform_role
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

ALL_PRIVILEGES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_PRIVILEGES_BY_POLICY_COMMAND = {
    "*": ALL_PRIVILEGES,
    "r": frozenset({"SELECT"}),
    "a": frozenset({"INSERT"}),
    "w": frozenset({"UPDATE"}),
    "d": frozenset({"DELETE"}),
}
_MIGRATION_HISTORY = "django_migrations"

_TABLES = load_sql(__file__)["read_policies"]


@dataclass(frozen=True, slots=True)
class TableGrants:
    """The privileges of the application's, the platform's and the auditor's role on one table."""

    table: str
    app: frozenset[str]
    platform: frozenset[str]
    # From the auditor's own policies only: public policies do not apply to it.
    auditor: frozenset[str] = frozenset()


def grant_tables(connection: BaseDatabaseWrapper, tables: Iterable[str] | None = None) -> list[TableGrants]:
    """Replace the privileges on `tables` (None: all tables of the owner) by those that follow from their policies.

    It runs in one transaction. Return the privileges.
    """
    with transaction.atomic(using=connection.alias), planned_cursor(namedtuple_row, connection=connection) as cursor:
        roles = {"platform": platform_role(), "auditor": auditor_role()}
        parameters = {**roles, "tables": None if tables is None else list(tables)}
        cursor.execute(_TABLES, parameters)
        grants = [_read_grants(row) for row in cursor.fetchall()]
        statements = list(_grant_statements(grants))
        if tables is None:
            statements.append(_roles_statement("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}, {}"))
        for statement in statements:
            cursor.execute(statement)
    return grants


def grant_after_migrate(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Set the privileges on all tables after a migration (receiver of `post_migrate`)."""
    if using == OWNER_ALIAS:
        grant_tables(connections[using])


def _read_grants(table: Any) -> TableGrants:
    if table.is_partition:
        return TableGrants(table.name, frozenset(), frozenset())
    if table.name == _MIGRATION_HISTORY:
        return TableGrants(table.name, *[frozenset({"SELECT"})] * 3)
    if not table.has_row_security:
        return TableGrants(table.name, ALL_PRIVILEGES, ALL_PRIVILEGES)
    public, platform, auditor = map(_allowed_by, (table.public, table.platform, table.auditor))
    return TableGrants(table.name, public, platform | public, auditor)


def _allowed_by(commands: list[str]) -> frozenset[str]:
    return frozenset().union(*(_PRIVILEGES_BY_POLICY_COMMAND[command] for command in commands))


def _grant_statements(grants: Iterable[TableGrants]) -> Iterator[sql.Composable]:
    """Yield one REVOKE for all tables, then one GRANT a role and set of privileges."""
    grants = list(grants)
    if not grants:
        return
    everything = sql.SQL(", ").join(_table(grant.table) for grant in grants)
    yield sql.SQL("REVOKE ALL ON {} FROM PUBLIC, {}, {}, {}").format(
        everything, *map(sql.Identifier, (app_role(), platform_role(), auditor_role()))
    )
    wanted: dict[tuple[str, frozenset[str]], list[str]] = {}
    for grant in grants:
        wanted.setdefault((app_role(), grant.app), []).append(grant.table)
        wanted.setdefault((platform_role(), grant.platform), []).append(grant.table)
        wanted.setdefault((auditor_role(), grant.auditor), []).append(grant.table)
    for (role, privileges), tables in wanted.items():
        if privileges:
            yield sql.SQL("GRANT {} ON {} TO {}").format(
                sql.SQL(", ").join(sql.SQL(privilege) for privilege in sorted(privileges)),
                sql.SQL(", ").join(_table(table) for table in tables),
                sql.Identifier(role),
            )


def _table(name: str) -> sql.Composable:
    return sql.Identifier("public", name)


def _roles_statement(template: str) -> sql.Composable:
    return sql.SQL(template).format(sql.Identifier(app_role()), sql.Identifier(platform_role()))
