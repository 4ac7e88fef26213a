"""Samples of everything that could grow: processes, descriptors, connections, the queue tables, the broker."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.db import DatabaseError, InterfaceError, connection

from tests.chaos.soak.growth import Point
from tests.chaos.soak.stack import SoakStack

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 2**20
LOOK_SECONDS = 3.0
# Tables that every job passes and leaves: they stay small under any load.
HOT_TABLES = (
    "scheduling_job_ready",
    "scheduling_job_due",
    "scheduling_job_held",
    "scheduling_job_deadline",
    "scheduling_execution_live",
    "scheduling_settled",
    "scheduling_wake",
    "scheduling_tally",
    "scheduling_circuit_news",
    "scheduling_schedulingentity",
    "scheduling_tenant_capacity",
    "scheduling_queue_clock",
    "scheduling_pool_clock",
    "scheduling_worker",
)
_CONNECTIONS = """
SELECT coalesce(nullif(split_part(application_name, ' ', 1), ''), 'others'), count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() GROUP BY 1
"""
_TABLES = """
SELECT relname, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables
WHERE relname = ANY(%s)
"""

type Series = dict[str, list[Point]]


@dataclass(slots=True)
class Samples:
    """All series by measure (``memory``, ``descriptors``, …) and name."""

    began: float = field(default_factory=time.monotonic)
    by_measure: dict[str, Series] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    # Failed samples, such as those of an unavailable broker.
    missed: int = 0
    # Values without a process are compared only between two faults: after each, all processes reconnect.
    faults: int = 0
    last_fault: float = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def note_fault(self) -> None:
        self.faults, self.last_fault = self.faults + 1, self.seconds

    def take(self, stack: SoakStack) -> None:
        """Take one sample of everything."""
        at = self.seconds
        for role, pid in stack.living():
            self._take_process(role, pid, at)
        try:
            self._take_database(at)
        except (DatabaseError, InterfaceError):
            self.missed += 1
            connection.close()
        self._take_broker(stack, at)

    def add(self, measure: str, name: str, point: Point) -> None:
        self.by_measure[measure][name].append(point)

    def _take_process(self, role: str, pid: int, at: float) -> None:
        """Sample a process; skip one that ends meanwhile."""
        try:
            born = _born(pid)
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
            descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except (OSError, IndexError):
            return
        if not resident:
            return  # it has ended, and its parent has not reaped it yet
        life, age = f"{pid}@{born:.0f}", _uptime() - born
        self.add("memory", role, Point(at, resident / MIB, life, age))
        self.add("descriptors", role, Point(at, descriptors, life, age))

    def _take_database(self, at: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_CONNECTIONS)
            for application, count in cursor.fetchall():
                self.add("connections", application, self._between_faults(at, count))
            cursor.execute(_TABLES, [list(HOT_TABLES)])
            for table, dead, size in cursor.fetchall():
                self.add("dead rows", table, Point(at, dead))
                self.add("table and indexes", table, Point(at, size / MIB))

    def _take_broker(self, stack: SoakStack, at: float) -> None:
        try:
            with redis.Redis.from_url(
                stack.addresses.broker_url(), socket_timeout=2, socket_connect_timeout=2
            ) as client:
                used = int(client.info("memory")["used_memory"])
                clients = int(client.info("clients")["connected_clients"])
        except redis.RedisError:
            self.missed += 1
            return
        self.add("broker's memory", "broker", Point(at, used / MIB, str(stack.servers.broker_pid)))
        self.add("broker's clients", "broker", self._between_faults(at, clients))

    def _between_faults(self, at: float, value: float) -> Point:
        return Point(at, value, str(self.faults), at - self.last_fault)


class Sampler(threading.Thread):
    """Thread that samples every LOOK_SECONDS, also during faults."""

    def __init__(self, stack: SoakStack, samples: Samples) -> None:
        super().__init__(daemon=True, name="sampler")
        self._stack, self._samples = stack, samples
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self._samples.take(self._stack)
        connection.close()

    def stop(self) -> None:
        """Stop, and return once no sample is taken any more."""
        self._stopped.set()
        self.join()


def _born(pid: int) -> float:
    """Return the start of a process in seconds after the machine's start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / TICKS_A_SECOND


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])
