"""The fault table, in its order."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.row import Row
from tests.chaos.rows import (
    auditing,
    brokers,
    clocks,
    databases,
    dispatchers,
    floods,
    messages,
    requests,
    tenancy,
    workers,
)

_ALL: tuple[type[Row], ...] = (
    *workers.ROWS,
    *brokers.ROWS,
    *databases.ROWS,
    *messages.ROWS,
    *dispatchers.ROWS,
    *clocks.ROWS,
    *floods.ROWS,
    *tenancy.ROWS,
    *auditing.ROWS,
    *requests.ROWS,
)
ROWS: Mapping[str, type[Row]] = {row.id: row for row in _ALL}
