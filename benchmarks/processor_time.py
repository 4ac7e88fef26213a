"""Processor time of the platform's processes and of its servers, by group."""

from __future__ import annotations

from collections.abc import Mapping

import redis
from django.conf import settings

from benchmarks.fair.processes import Processes
from benchmarks.processor import seconds_of_family, seconds_of_postgresql

GROUPS = ("PostgreSQL", "broker", "dispatcher", "worker")


def read_processor_seconds(processes: Processes) -> Mapping[str, float]:
    """Seconds until now of each group, ended children's included. The servers must run on this machine."""
    return {
        "PostgreSQL": seconds_of_postgresql(),
        "broker": seconds_of_family(_broker()),
        "dispatcher": sum(seconds_of_family(process.pid) for process in processes.dispatchers),
        "worker": sum(seconds_of_family(process.pid) for process in processes.workers),
    }


def _broker() -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        return int(broker.info("server")["process_id"])
