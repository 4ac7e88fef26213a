"""Measurements behind the load states."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from psycopg.rows import scalar_row

from scheduling.dispatch.broker_probes import ANSWER_SECONDS, read_memory_part
from scheduling.exceptions import BrokerUnavailableError
from scheduling.load.models import PLATFORM, POOL
from scheduling.shares.verdicts import BELOW
from scheduling.statistics.gauges import HEAD_LIMIT
from scheduling.statistics.throughput import WINDOW
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
# Round trips of which the median counts.
ROUND_TRIPS = 3
# The time of a pool's ticks counts while the last one that claimed jobs is younger.
RECENT_SECONDS = 5.0
_GIB, _KIB = 1 << 30, 1 << 10
# Of the control group of this process, version 2 and version 1: limit, use, and the line of the use that can be freed.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def read_surroundings() -> dict[str, float]:
    """Return the values that need no database: of Redis, and of this machine."""
    found = {"disk": min(shutil.disk_usage(folder).free for folder in _folders()) / _GIB}
    began = time.monotonic()
    try:
        part = read_memory_part()
    except BrokerUnavailableError:
        found["broker"] = 1_000 * ANSWER_SECONDS
    else:
        found["broker"] = 1_000 * (time.monotonic() - began)
        if part is not None:
            found["broker_memory"] = 100 * part
    if free := list(_free_memory()):
        found["memory"] = min(free) / _GIB
    return found


def read_database() -> Mapping[str, dict[str, float]]:
    """Return the values that PostgreSQL has or shows, by scope. The caller is in the scope of all tenants."""
    values = {
        "window": WINDOW.total_seconds(),
        "heads": HEAD_LIMIT,
        "fair": BELOW,
        "recent": RECENT_SECONDS,
        "lease": platform_settings.LEASE_SECONDS,
    }
    found: dict[str, dict[str, float]] = {
        PLATFORM: {
            "database": 1_000 * statistics.median(_round_trip() for _ in range(ROUND_TRIPS)),
            "connections": fetch_one(_SQL["read_connections"], None, scalar_row),
        }
    }
    for pool in fetch_all(_SQL["read_pools"], values, is_planned=True):
        measured = {"oldest_wait": pool.oldest_wait, "tick": pool.tick}
        found[f"{POOL}{pool.name}"] = {name: value for name, value in measured.items() if value is not None}
    return found


def _round_trip() -> float:
    began = time.monotonic()
    fetch_one(_SQL["respond"])
    return time.monotonic() - began


def _folders() -> Iterator[str]:
    """Yield the folders that the platform writes to: the one of temporary files, and that of uploads."""
    yield tempfile.gettempdir()
    if (files := settings.STORAGES["default"].get("OPTIONS", {}).get("location")) and Path(files).is_dir():
        yield str(files)


def _free_memory() -> Iterator[float]:
    """Yield the free bytes of the machine and of the control group, where they can be read."""
    with suppress(OSError, ValueError, KeyError):
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        yield int(fields["MemAvailable"].split()[0]) * _KIB
    for limit, used, freeable in _GROUPS:
        with suppress(OSError, ValueError, KeyError):
            counts = dict(line.split() for line in Path(used).with_name("memory.stat").read_text().splitlines())
            yield int(Path(limit).read_text()) - int(Path(used).read_text()) + int(counts[freeable])
