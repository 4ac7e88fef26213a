"""The number of migrations that the database has not applied yet."""

from __future__ import annotations

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from tenants.database.conf import APP_ALIAS


def count_pending_migrations() -> int:
    """Return how many migrations are not applied to the database; if any, tables that the code uses may be missing."""
    executor = MigrationExecutor(connections[APP_ALIAS])
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
