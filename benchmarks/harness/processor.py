"""Processor time of processes, from /proc: what a number costs, also on a machine that does other work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from django.db import connection

if TYPE_CHECKING:
    from benchmarks.harness.processes import Processes

GROUPS = ("PostgreSQL", "broker", "dispatcher", "worker")
_PROC = Path("/proc")
# Of the fields after the name: user and system time of the process, and of those of its children that have ended.
_OWN, _OF_ALL = slice(11, 13), slice(11, 15)


def seconds_of(pid: int) -> float:
    """Return user and system time of one process; 0 if it is gone, or if the system has no /proc."""
    return _sum(_fields(pid), _OWN)


def seconds_of_family(pid: int) -> float:
    """Return the time of a process and of all that it started, ended ones included."""
    return sum(_sum(_fields(member), _OF_ALL) for member in (pid, *_descendants(pid)))


def seconds_of_postgresql() -> float:
    """Return the time of PostgreSQL with all its processes; 0 if it is not on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        fields = _fields(cursor.fetchone()[0])
    return seconds_of_family(int(fields[1])) if fields else 0.0


def read_processor_seconds(processes: Processes) -> Mapping[str, float]:
    """Return the seconds until now of each group, ended children's included. The servers must run on this machine."""
    return {
        "PostgreSQL": seconds_of_postgresql(),
        "broker": seconds_of_family(_broker()),
        "dispatcher": sum(seconds_of_family(process.pid) for process in processes.dispatchers),
        "worker": sum(seconds_of_family(process.pid) for process in processes.workers),
    }


def children_of(pid: int) -> list[int]:
    """Return the live child processes of a process."""
    return [child for child, parent in _parents() if parent == pid]


def _broker() -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        return int(broker.info("server")["process_id"])


def _descendants(pid: int) -> list[int]:
    parents = list(_parents())
    found, wanted = [], {pid}
    while wanted:
        wanted = {child for child, parent in parents if parent in wanted}
        found.extend(wanted)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for folder in _PROC.glob("[0-9]*"):
        if fields := _fields(int(folder.name)):
            yield int(folder.name), int(fields[1])


def _fields(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _sum(fields: list[str], which: slice) -> float:
    return sum(map(int, fields[which])) / os.sysconf("SC_CLK_TCK")
