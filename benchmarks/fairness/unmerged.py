"""No-op jobs, with all that the platform keeps of them, beside bare Celery that keeps nothing."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import redis
from django.conf import settings

from benchmarks import bare_celery
from benchmarks.fairness.metering import Meter
from benchmarks.fairness.simulated import measure_row
from benchmarks.fairness.throughput import MERGED_JOBS
from benchmarks.harness.draining import NOOP_US, SETTLE_SECONDS, measure_rate, warm_up
from benchmarks.harness.filling import add_tenants, analyse, clear_platform, fill_backlog
from benchmarks.harness.parts import NO_TARGET, Finding, MeasureFailedError
from benchmarks.harness.processes import Processes, serving

SLOTS, TENANTS = 2, 100
JOBS, MESSAGES = 30_000, 60_000
TURN_SECONDS = 12.0
READY_SECONDS = 60.0


def measure_bare_celery(folder: Path) -> list[Finding]:
    """Turns of one run, each alone on the machine, from a backlog that waits already.

    Jobs as they are, of which one travels alone while slots are free and more together as load grows, and jobs that
    all travel alone, before and after bare Celery.
    """
    alone, words_alone = _platform_rate(folder, are_alone=True)
    together, words_together = _platform_rate(folder, are_alone=False)
    bare = _bare_rate(folder)
    return [
        _finding(
            "no-op jobs, one a message while slots are free and merged as load grows, against bare Celery in the same "
            "run",
            [together, _platform_rate(folder, are_alone=False)[0]],
            bare,
            f"jobs of {TENANTS} tenants; {words_together}",
            has_target=True,
        ),
        _finding(
            "no-op jobs that all are forbidden to share a message, against bare Celery in the same run",
            [alone, _platform_rate(folder, are_alone=True)[0]],
            bare,
            f"jobs of {TENANTS} tenants that all travel alone; {words_alone}",
            has_target=False,
        ),
    ]


def _finding(what: str, rates: Sequence[float], bare: float, words: str, *, has_target: bool) -> Finding:
    ours = statistics.mean(rates)
    return Finding(
        what=what,
        target="≥ 100%" if has_target else NO_TARGET,
        measured=f"{ours / bare:.0%} ({ours:,.0f} against {bare:,.0f} jobs/s)",
        is_met=ours >= bare or not has_target,
        beside=f"{SLOTS} slots against Celery with `-c {SLOTS}`, acks_late, JSON and no results on the same Valkey; "
        "both from a backlog submitted before, so publishing is in ours and not in Celery's; turns of "
        f"{TURN_SECONDS:.0f} s ({rates[0]:,.0f} before, {rates[1]:,.0f} after bare Celery); in the first, "
        f"{words}; the simulation shows the shares of {TENANTS} tenants with jobs of 1 ms and no throughput",
        simulated=measure_row("small_jobs_100_tenants").text,
    )


def _platform_rate(folder: Path, *, are_alone: bool) -> tuple[float, str]:
    clear_platform()
    jobs = JOBS if are_alone else MERGED_JOBS
    fill_backlog(add_tenants(TENANTS, estimate_us=NOOP_US), jobs, payload={}, travels_alone=are_alone)
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        with Meter(processes, slots=SLOTS) as meter:
            rate = measure_rate(processes, TURN_SECONDS)
    return rate, meter.words


def _bare_rate(folder: Path) -> float:
    broker = redis.Redis.from_url(settings.REDIS_URL)
    processes = Processes(folder)
    try:
        bare_celery.publish(MESSAGES)
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.bare_celery", "worker", "-P", "prefork"]
        processes.workers.append(processes.run([*command, "-c", str(SLOTS), "--loglevel=WARNING"], log="celery"))
        processes.wait_until(
            lambda: _left(broker) < MESSAGES - 1_000, within=READY_SECONDS, what="Celery takes messages"
        )
        time.sleep(SETTLE_SECONDS)
        before, began = _left(broker), time.monotonic()
        time.sleep(TURN_SECONDS)
        processes.require_alive()
        left, took = _left(broker), time.monotonic() - began
        if not left:
            raise MeasureFailedError(f"Celery had done all {MESSAGES:,} messages before the turn was over.")
        return (before - left) / took
    finally:
        broker.delete(bare_celery.QUEUE)
        processes.stop()
        broker.delete(bare_celery.QUEUE, "unacked", "unacked_index")


def _left(broker: redis.Redis) -> int:
    """Messages that are not acknowledged yet: the platform's processes are not there, so all are Celery's."""
    return int(broker.llen(bare_celery.QUEUE)) + int(broker.hlen("unacked"))
