"""Migration operation: policies, and the grants that follow, for the auditor's login."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.migrations.operations.base import Operation
from psycopg import sql

from tenants.database.conf import auditor_role
from tenants.database.grants import grant_tables

_CLAUSES = {"SELECT": "USING ({})", "DELETE": "USING ({})", "INSERT": "WITH CHECK ({})", "UPDATE": "USING ({})"}


class AllowAuditor(Operation):
    """What the auditor's login may do with a model's table: a condition (SQL) of the rows for each command."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, commands: Mapping[str, str]) -> None:
        self.model_name = model_name
        self.commands = dict(commands)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.model_name, self.commands], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: policies are no part of Django's idea of a model."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._change(
            schema_editor,
            to_state.apps.get_model(app_label, self.model_name)._meta.db_table,
            "CREATE POLICY {name} ON {table} FOR {command} TO {role} {clause}",
        )

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._change(
            schema_editor,
            from_state.apps.get_model(app_label, self.model_name)._meta.db_table,
            "DROP POLICY {name} ON {table}",
        )

    def describe(self) -> str:
        return f"Allow the auditor {', '.join(self.commands)} on {self.model_name}"

    def _change(self, schema_editor: Any, table: str, statement: str) -> None:
        for command, condition in self.commands.items():
            composed = sql.SQL(statement).format(
                name=sql.Identifier(f"auditor_{command.lower()}"),
                table=sql.Identifier(table),
                command=sql.SQL(command),
                role=sql.Identifier(auditor_role()),
                clause=sql.SQL(_CLAUSES[command]).format(sql.SQL(condition)),
            )
            schema_editor.execute(composed.as_string(schema_editor.connection.connection))
        if not schema_editor.collect_sql:
            grant_tables(schema_editor.connection, [table])
