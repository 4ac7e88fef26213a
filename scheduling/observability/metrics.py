"""Prometheus counters, fed by the receivers of signals.

Every process counts for itself. If PROMETHEUS_MULTIPROC_DIR names a folder that the processes of a machine share
(`run_platform` sets it), any of them exports the sum. Labels are names that operators choose (kinds, queues, tiers,
pools), never tenants.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Before the first counter, which opens a file there.
if os.environ.get(MULTIPROCESS_VARIABLE):
    Path(os.environ[MULTIPROCESS_VARIABLE]).mkdir(parents=True, exist_ok=True)
PREFIX = "jobsplatform"
WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)
RUNS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 900, 3_600)
_TICKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_ROUTE = ("kind", "queue", "tier")

SUBMITTED = Counter("jobs_submitted", "Jobs accepted.", _ROUTE, namespace=PREFIX)
SHED = Counter(
    "jobs_shed", "New jobs refused or delayed by rule under load.", ["kind", "tier", "action"], namespace=PREFIX
)
ROUTING_FALLBACKS = Counter(
    "routing_fallbacks",
    "Choices of queues that were made in place of a routing strategy, by cause.",
    ["strategy", "cause"],
    namespace=PREFIX,
)
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
    buckets=WAITS,
)
PICKUP = Histogram(
    "execution_pickup_seconds", "Time from dispatch to start.", ["queue"], namespace=PREFIX, buckets=WAITS
)
RUN = Histogram(
    "execution_run_seconds", "Slot time of ended executions.", ["queue", "tier"], namespace=PREFIX, buckets=RUNS
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
    "broker_emptied", "Times that the broker restarted without messages that the platform needed.", namespace=PREFIX
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
ALERT_MESSAGES = Counter(
    "alert_messages", "Messages about alerts, by channel and result.", ["channel", "result"], namespace=PREFIX
)
OUTBOX = Counter(
    "outbox_attempts", "Attempts to deliver messages of the outbox.", ["adapter", "result"], namespace=PREFIX
)
CACHE_READS = Counter("cache_reads", "Reads of cached values, by source.", ["cache", "place"], namespace=PREFIX)


def scrape_registry() -> CollectorRegistry:
    """Return the registry to export: the metrics of this process, or those of all processes that share a folder."""
    if not os.environ.get(MULTIPROCESS_VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
