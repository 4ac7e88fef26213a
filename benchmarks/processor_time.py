"""Processor time of the platform's processes and of its servers, by group, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection

from benchmarks.fair.processes import Processes
from benchmarks.soak.faults import children_of

GROUPS = ("PostgreSQL", "broker", "dispatcher", "worker")


def read_processor_seconds(processes: Processes) -> Mapping[str, float]:
    """Seconds until now of each group, ended children's included. The servers must run on this machine."""
    roots = {
        "PostgreSQL": [_postmaster()],
        "broker": [_broker()],
        "dispatcher": [process.pid for process in processes.dispatchers],
        "worker": [process.pid for process in processes.workers],
    }
    return {group: sum(_seconds(pid) for root in roots[group] for pid in _family(root)) for group in GROUPS}


def _family(pid: int) -> Iterable[int]:
    yield pid
    for child in children_of(pid):
        yield from _family(child)


def _seconds(pid: int) -> float:
    """Of a process and of its children that it has seen end; 0 of one that is gone."""
    return sum(map(int, _fields(pid)[11:15])) / os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _postmaster() -> int:
    """The parent of the process that serves this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(_fields(pid)[1])


def _broker() -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        return int(broker.info("server")["process_id"])
