"""Options of every connection to PostgreSQL, so that a server which has vanished is noticed within seconds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# A new connection fails after 5 s. An open one that is idle is probed after 10 s and closed 9 s later; one whose bytes
# are not acknowledged is closed after 15 s. Without these options the system waits for minutes, or for two hours.
_OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }
)


def connection_options(given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return the libpq options of a connection; the options in ``given`` take precedence."""
    return {**_OPTIONS, **given}
