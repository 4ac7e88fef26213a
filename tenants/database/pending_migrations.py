"""Migrations that the code brings and the database does not have yet."""

from __future__ import annotations

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from tenants.database.conf import APP_ALIAS


def count_pending_migrations() -> int:
    """How many are not applied; the tables may lack what this code reads and writes."""
    executor = MigrationExecutor(connections[APP_ALIAS])
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
