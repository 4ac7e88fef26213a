"""Reads of backups."""

from __future__ import annotations

from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql

_IS_RUNNING = load_sql(__file__)["is_running"]


def is_backup_running() -> bool:
    """Return whether any process is making a backup now."""
    return bool(fetch_one(_IS_RUNNING, {"lock": LockClass.BACKUP.value}).is_running)
