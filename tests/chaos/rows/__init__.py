"""Fault table, in its order."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.row import Row
from tests.chaos.rows import (
    auditing,
    backups,
    broker_limits,
    brokers,
    clients,
    clocks,
    coroutines,
    database_crashes,
    database_limits,
    databases,
    deploys,
    disks,
    dispatchers,
    floods,
    leftovers,
    lists,
    messages,
    overloads,
    people,
    requests,
    tenancy,
    workers,
)

_ALL: tuple[type[Row], ...] = (
    *workers.ROWS,
    *brokers.ROWS,
    *broker_limits.ROWS,
    *databases.ROWS,
    *database_limits.ROWS,
    *database_crashes.ROWS,
    *disks.ROWS,
    *messages.ROWS,
    *lists.ROWS,
    *coroutines.ROWS,
    *dispatchers.ROWS,
    *clocks.ROWS,
    *deploys.ROWS,
    *leftovers.ROWS,
    *floods.ROWS,
    *overloads.ROWS,
    *people.ROWS,
    *tenancy.ROWS,
    *auditing.ROWS,
    *backups.ROWS,
    *requests.ROWS,
    *clients.ROWS,
)
ROWS: Mapping[str, type[Row]] = {row.id: row for row in _ALL}
