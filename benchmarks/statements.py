"""Set statements over all tenants' rows, as long as they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection

from tenants.context import all_tenants


def run_statement(statement: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run one in a transaction of its own. Without parameters, a percent sign is one."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', '0', true)")
        cursor.execute(statement, parameters)
