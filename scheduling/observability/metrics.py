"""Counters for Prometheus, from the signals.

Every process counts for itself. Where PROMETHEUS_MULTIPROC_DIR names a folder that the
processes of a machine share (`run_platform` sees to it), any of them answers for all.
"""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from scheduling import signals
from tenants.signals import limit_warned

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)

SUBMITTED = Counter("jobs_submitted", "Jobs accepted.", ["kind"])
DISPATCHED = Counter("jobs_dispatched", "Jobs handed to the broker.")
TICK_SECONDS = Histogram("dispatch_tick_seconds", "Length of ticks that dispatched something.")
UNDONE = Counter("dispatches_undone", "Claims undone because the broker did not take the message.")
WAITED = Histogram("execution_pickup_seconds", "From dispatch to start.", ["kind"], buckets=_SECONDS)
ENDED = Histogram("execution_seconds", "Slot time of ended executions.", ["kind", "outcome"], buckets=_SECONDS)
RESCUED = Counter("executions_rescued", "Executions taken from dead workers or published anew.", ["reason"])
UPKEEP = Counter("upkeep_runs", "Runs of upkeep tasks.", ["task", "outcome"])
LIMIT_WARNINGS = Counter("limit_warnings", "Limits that a tenant came near to, or reached.", ["limit", "percent"])


def connect() -> None:
    """Count whenever a signal is sent."""
    receivers = (
        (signals.jobs_submitted, _on_submitted),
        (signals.jobs_dispatched, _on_dispatched),
        (signals.dispatch_undone, _on_undone),
        (signals.execution_started, _on_started),
        (signals.execution_ended, _on_ended),
        (signals.executions_rescued, _on_rescued),
        (signals.upkeep_ended, _on_upkeep),
        (limit_warned, _on_limit_warned),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, dispatch_uid=f"scheduling.metrics.{receiver.__name__}")


def scrape_registry() -> CollectorRegistry:
    """What one scrape answers: this process's counters, or those of all processes that share a folder."""
    if not os.environ.get(MULTIPROCESS_VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _on_submitted(sender: object, *, kind: str, count: int, **_: Any) -> None:
    SUBMITTED.labels(kind).inc(count)


def _on_dispatched(sender: object, *, count: int, seconds: float, **_: Any) -> None:
    DISPATCHED.inc(count)
    TICK_SECONDS.observe(seconds)


def _on_undone(sender: object, *, count: int, **_: Any) -> None:
    UNDONE.inc(count)


def _on_started(sender: object, *, kind: str, waited_seconds: float, **_: Any) -> None:
    WAITED.labels(kind).observe(waited_seconds)


def _on_ended(sender: object, *, kind: str, outcome: str, seconds: float, **_: Any) -> None:
    ENDED.labels(kind, outcome).observe(seconds)


def _on_rescued(sender: object, *, count: int, reason: str, **_: Any) -> None:
    RESCUED.labels(reason).inc(count)


def _on_upkeep(sender: object, *, name: str, outcome: str, **_: Any) -> None:
    UPKEEP.labels(name, outcome).inc()


def _on_limit_warned(sender: object, *, key: str, percent: int, **_: Any) -> None:
    LIMIT_WARNINGS.labels(key, percent).inc()
