"""Routing strategies for tests, good and bad ones, and their installation as those of an app."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from django.apps import apps

from scheduling.jobs.routing import balancing, strategies
from scheduling.jobs.routing.strategy_calls import StrategyCaller
from scheduling.kit.routing import CandidateQueue, Choice, RoutedJob

NOT_CALLABLE = 1
Pools = Sequence[CandidateQueue]


def by_pages(job: RoutedJob, pools: Pools) -> Choice:
    """Return the first queue for long documents, else the last one."""
    is_long = job.payload.get("source", {}).get("pages", 0) > 100
    return Choice(pools[0 if is_long else -1].queue, f"{'long' if is_long else 'short'} document, {job.tier}")


def most_slots(job: RoutedJob, pools: Pools) -> str:
    return max(pools, key=lambda pool: (pool.live_slots, pool.weight)).queue


def shortest(job: RoutedJob, pools: Pools) -> str:
    return min(pools, key=lambda pool: pool.waiting_seconds).queue


def tagged(job: RoutedJob, pools: Pools) -> Choice:
    return Choice(job.tags[0], f"tag {job.tags[0]}")


def raising(job: RoutedJob, pools: Pools) -> str:
    raise ValueError("a secret of the payload")


def changing(job: RoutedJob, pools: Pools) -> str:
    job.payload["source"]["pages"] = 0
    return pools[0].queue


def foreign(job: RoutedJob, pools: Pools) -> str:
    return "elsewhere\x00\n" + "x" * 10_000


def junk(job: RoutedJob, pools: Pools) -> Any:
    return {"queue": pools[0].queue}


def garrulous(job: RoutedJob, pools: Pools) -> Choice:
    return Choice(pools[0].queue, "line\nand\x00" + "é" * 1_000_000)


def unreasonable(job: RoutedJob, pools: Pools) -> Choice:
    return Choice(pools[0].queue, [1])  # type: ignore[arg-type]


def endless(job: RoutedJob, pools: Pools) -> str:
    while True:
        try:
            _recurse(0)
        except BaseException:  # noqa: BLE001 - a strategy that handles everything
            continue


def _recurse(depth: int) -> None:
    while depth < 10**9:
        depth += 1


def sleeping(job: RoutedJob, pools: Pools) -> str:
    time.sleep(0.3)
    return pools[0].queue


def busy(job: RoutedJob, pools: Pools) -> str:
    """Return the first queue after two milliseconds of processor time, which a single call may take."""
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass
    return pools[0].queue


def one_argument(job: RoutedJob) -> str:
    return "east"


async def coroutine(job: RoutedJob, pools: Pools) -> str:
    return pools[0].queue


def install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Present functions of this module, or dotted paths, as the only installed strategies; forget set aside ones."""
    found = {name.rpartition(".")[2].lower(): name if "." in name else f"{__name__}.{name}" for name in names}
    strategies.reset()
    monkeypatch.setattr(strategies, "entry_points", lambda group: [])
    monkeypatch.setattr(apps.get_app_config("scheduling"), "routing_strategies", found, raising=False)
    monkeypatch.setattr(balancing, "_caller", StrategyCaller())
    monkeypatch.setattr(balancing, "_logged_at", {})
