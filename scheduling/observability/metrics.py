"""Prometheus metrics, which receivers of the signals update.

Every process counts for itself. If PROMETHEUS_MULTIPROC_DIR names a folder that the processes of a machine share
(`run_platform` sets it), any of them exports the sum. Labels are names that operators choose (kinds, queues, tiers,
pools), never tenants.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from scheduling import signals
from scheduling.breakers.queries import dependency_label
from scheduling.execution.settlement import SettledExecution
from scheduling.execution.start import StartedTurn
from scheduling.models import Execution
from tenants.signals import cache_asked, limit_warned

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Before the first counter, which opens a file there.
if os.environ.get(MULTIPROCESS_VARIABLE):
    Path(os.environ[MULTIPROCESS_VARIABLE]).mkdir(parents=True, exist_ok=True)
PREFIX = "jobsplatform"
_WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)
_RUNS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 900, 3_600)
_TICKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_ROUTE = ("kind", "queue", "tier")

SUBMITTED = Counter("jobs_submitted", "Jobs accepted.", _ROUTE, namespace=PREFIX)
DISPATCHED = Counter("jobs_dispatched", "Jobs published to the broker.", namespace=PREFIX)
STARTED = Counter("executions_started", "Executions that a worker started.", _ROUTE, namespace=PREFIX)
ENDED = Counter("executions_ended", "Executions that ended, by outcome.", (*_ROUTE, "outcome"), namespace=PREFIX)
MOVED = Counter(
    "waiting_jobs_moved",
    "Waiting jobs whose state changed: cancelled, suspended, resumed.",
    ["event"],
    namespace=PREFIX,
)
WAIT = Histogram(
    "job_wait_seconds",
    "Time from when a job may run (its submission or its run_at) to its first start.",
    ["queue", "tier"],
    namespace=PREFIX,
    buckets=_WAITS,
)
PICKUP = Histogram(
    "execution_pickup_seconds", "Time from dispatch to start.", ["queue"], namespace=PREFIX, buckets=_WAITS
)
RUN = Histogram(
    "execution_run_seconds", "Slot time of ended executions.", ["queue", "tier"], namespace=PREFIX, buckets=_RUNS
)
TICK = Histogram(
    "dispatch_tick_seconds", "Length of ticks that dispatched something.", namespace=PREFIX, buckets=_TICKS
)
UNDONE = Counter("dispatches_undone", "Claims undone because the broker accepted no message.", namespace=PREFIX)
RESCUED = Counter("executions_rescued", "Executions reclaimed from dead workers.", ["reason"], namespace=PREFIX)
YIELDS = Counter(
    "yields", "Yields of slots after a time slice: requested, withdrawn, yielded.", ["step"], namespace=PREFIX
)
REPUBLISHED = Counter(
    "messages_republished", "Messages published again because no worker received them.", namespace=PREFIX
)
DUTY = Histogram("duty_seconds", "Length of the dispatchers' duties.", ["duty"], namespace=PREFIX, buckets=_TICKS)
DUTY_FAILURES = Counter("duty_failures", "Duties that failed.", ["duty"], namespace=PREFIX)
REFUSED = Counter("messages_refused", "Messages without a valid signature or content.", ["reason"], namespace=PREFIX)
EMPTIED = Counter(
    "broker_emptied", "Times that the broker restarted without the platform's messages.", namespace=PREFIX
)
CIRCUITS = Counter(
    "circuits_opened", "Circuit breakers that opened, of all tenants.", ["kind", "dependency"], namespace=PREFIX
)
LEFT_OUT = Counter(
    "tenants_left_out", "Tenants that ticks started to skip because their rows were locked.", namespace=PREFIX
)
GIVEN_UP = Counter("workers_given_up", "Workers that restarted themselves.", ["pool", "reason"], namespace=PREFIX)
UPKEEP = Counter("upkeep_runs", "Runs of upkeep tasks.", ["task", "outcome"], namespace=PREFIX)
LIMIT_WARNINGS = Counter(
    "limit_warnings", "Limits that a tenant approached or reached.", ["limit", "percent"], namespace=PREFIX
)


CACHE_READS = Counter("cache_reads", "Reads of cached values, by source.", ["cache", "place"], namespace=PREFIX)


def connect() -> None:
    """Connect the receivers that update the metrics to the signals."""
    receivers = (
        (signals.jobs_submitted, _on_submitted),
        (signals.jobs_dispatched, _on_dispatched),
        (signals.waiting_jobs_moved, _on_moved),
        (signals.dispatch_undone, _on_undone),
        (signals.broker_emptied, _on_emptied),
        (signals.duty_ended, _on_duty_ended),
        (signals.executions_started, _on_started),
        (signals.executions_ended, _on_ended),
        (signals.executions_rescued, _on_rescued),
        (signals.upkeep_ended, _on_upkeep),
        (limit_warned, _on_limit_warned),
        (cache_asked, _on_cache_asked),
        (signals.messages_republished, _on_republished),
        (signals.message_refused, _on_refused),
        (signals.circuit_opened, _on_circuit_opened),
        (signals.yields_decided, _on_yields_decided),
        (signals.worker_given_up, _on_given_up),
        (signals.tenants_left_out, _on_left_out),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, dispatch_uid=f"scheduling.metrics.{receiver.__name__}")


def scrape_registry() -> CollectorRegistry:
    """Return the registry to export: the metrics of this process, or those of all processes that share a folder."""
    if not os.environ.get(MULTIPROCESS_VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _on_submitted(sender: object, *, kind: str, queue: str, tier: str, count: int, **_: Any) -> None:
    SUBMITTED.labels(kind, queue, tier).inc(count)


def _on_dispatched(sender: object, *, count: int, seconds: float, **_: Any) -> None:
    DISPATCHED.inc(count)
    TICK.observe(seconds)


def _on_moved(sender: object, *, event: str, count: int, **_: Any) -> None:
    MOVED.labels(event).inc(count)


def _on_undone(sender: object, *, count: int, **_: Any) -> None:
    UNDONE.inc(count)


def _on_refused(sender: object, *, reason: str, **_: Any) -> None:
    REFUSED.labels(reason).inc()


def _on_emptied(sender: object, **_: Any) -> None:
    EMPTIED.inc()


def _on_duty_ended(sender: object, *, duty: str, seconds: float, is_failed: bool, **_: Any) -> None:
    DUTY.labels(duty).observe(seconds)
    if is_failed:
        DUTY_FAILURES.labels(duty).inc()


def _on_started(sender: object, *, executions: Sequence[StartedTurn], **_: Any) -> None:
    routes = _grouped(executions, attrgetter("kind", "queue", "tier"))
    for (kind, queue, tier), begun in routes.items():
        STARTED.labels(kind, queue, tier).inc(len(begun))
        pickup, wait = PICKUP.labels(queue), WAIT.labels(queue, tier)
        for one in begun:
            pickup.observe(one.pickup_seconds)
            if one.wait_seconds is not None:
                wait.observe(one.wait_seconds)


def _on_ended(sender: object, *, executions: Sequence[SettledExecution], **_: Any) -> None:
    routes = _grouped(executions, attrgetter("kind", "queue", "tier", "outcome"))
    for (kind, queue, tier, outcome), ended in routes.items():
        ENDED.labels(kind, queue, tier, outcome).inc(len(ended))
        run = RUN.labels(queue, tier)
        for one in ended:
            run.observe(one.seconds)
        if outcome == Execution.Outcome.YIELDED:
            YIELDS.labels("yielded").inc(len(ended))


def _grouped[T](executions: Sequence[T], route: Callable[[T], tuple[str, ...]]) -> Mapping[tuple[str, ...], list[T]]:
    groups: dict[tuple[str, ...], list[T]] = defaultdict(list)
    for execution in executions:
        groups[route(execution)].append(execution)
    return groups


def _on_rescued(sender: object, *, count: int, reason: str, **_: Any) -> None:
    RESCUED.labels(reason).inc(count)


def _on_upkeep(sender: object, *, name: str, outcome: str, **_: Any) -> None:
    UPKEEP.labels(name, outcome).inc()


def _on_limit_warned(sender: object, *, key: str, percent: int, **_: Any) -> None:
    LIMIT_WARNINGS.labels(key, percent).inc()


def _on_cache_asked(sender: object, *, cache: str, place: str, count: int, **_: Any) -> None:
    CACHE_READS.labels(cache, place).inc(count)


def _on_republished(sender: object, *, count: int, **_: Any) -> None:
    REPUBLISHED.inc(count)


def _on_circuit_opened(sender: object, *, kind: str, dependency: str, tenant_id: UUID | None, **_: Any) -> None:
    CIRCUITS.labels(kind, dependency_label(dependency, is_shared=tenant_id is None)).inc()


def _on_yields_decided(sender: object, *, requested: int, withdrawn: int, **_: Any) -> None:
    YIELDS.labels("requested").inc(requested)
    YIELDS.labels("withdrawn").inc(withdrawn)


def _on_left_out(sender: object, *, holders: Mapping[UUID, int | None], **_: Any) -> None:
    LEFT_OUT.inc(len(holders))


def _on_given_up(sender: object, *, pool: str, reason: str, **_: Any) -> None:
    GIVEN_UP.labels(pool, reason).inc()
