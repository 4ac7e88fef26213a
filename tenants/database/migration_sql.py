"""Loader of the ``.sql`` files beside migrations, for `migrations.RunSQL`."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql

from tenants.database.conf import auditor_role, platform_role


def load_migration_sql(migration_file: str, name: str) -> str:
    """Return the text of ``sql/NAME.sql`` beside a migration, with the names of the roles filled in.

    The file writes the roles as the psql variables ``:"platform"`` and ``:"auditor"``, because their names are
    settings.
    """
    text = Path(migration_file).parent.joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    for variable, role in (("platform", platform_role()), ("auditor", auditor_role())):
        text = text.replace(f':"{variable}"', sql.Identifier(role).as_string(None))
    return text
