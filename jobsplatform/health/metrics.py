"""Prometheus metrics that are read from the database at each scrape, so that all processes return the same values.

Autoscalers of workers use queue length, wait and predicted work. No value is kept in a process, because there are many
processes, and they restart. If the database does not respond, the scrape reports only this.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from django.db import DatabaseError, connection
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scheduling.diagnosis.starts import stall_watch
from scheduling.dispatch import broker_probes
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fleet.announced_kinds import unknown_kinds_of
from scheduling.load.queries import list_states
from scheduling.models import LoadState, Worker, WorkerPool
from scheduling.observability.measures import (
    DEAD_LETTER_AGE,
    Measures,
    QueueMeasure,
    count_recent_dead_letters,
    read_measures,
)
from scheduling.upkeep.status import UpkeepStatus, read_upkeep
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.write_probe import write_watch

type Sample = tuple[list[str], float]

# Each state has a sample, even with no worker in it; stopped workers are not counted.
WORKER_STATES = (*(status for status in Worker.Status if status is not Worker.Status.STOPPED), "silent")

_QUEUE_GAUGES: tuple[tuple[str, str, Callable[[QueueMeasure], float]], ...] = (
    ("queue_waiting_jobs", "Jobs ready for dispatch.", lambda queue: queue.ready),
    (
        "queue_scheduled_jobs",
        "Scheduled jobs that are not due yet, counted up to a limit.",
        lambda queue: queue.scheduled,
    ),
    (
        "queue_backing_off_jobs",
        "Jobs that wait for their next attempt, counted up to a limit.",
        lambda queue: queue.backing_off,
    ),
    ("queue_suspended_jobs", "Suspended jobs, counted up to a limit.", lambda queue: queue.suspended),
    ("queue_oldest_wait_seconds", "Wait of the oldest ready job; 0 if there is none.", lambda q: q.oldest_seconds),
    ("queue_dispatched_jobs", "Jobs dispatched and not started.", lambda queue: queue.dispatched),
    ("queue_executing_jobs", "Running jobs.", lambda queue: queue.executing),
    (
        "queue_without_consumer",
        "1 while the queue has jobs, or rules that route to it, and no live worker reads it.",
        lambda queue: queue.is_unread,
    ),
    ("queue_predicted_seconds", "Predicted slot time of the ready jobs.", lambda queue: queue.ready_seconds),
)


class PlatformCollector(Collector):
    """Collector that reads all metrics from the database, once for each scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; samples are labelled by queue, pool, task, tenant or the like."""
        yield _gauge("broker_up", "Whether the broker responds.", [([], float(_is_broker_up()))])
        try:
            with all_tenants():
                measures = read_measures(tenant_limit=max(0, platform_settings.METRICS_TENANTS))
                dead_letters = count_recent_dead_letters(since=timezone.now() - DEAD_LETTER_AGE)
                upkeep = read_upkeep()
                now = timezone.now()
                unknown = unknown_kinds_of(WorkerPool.objects.all(), now, waiting_for=timedelta())
                stalled = stall_watch.read()
                loads = list_states()
            write_fault = write_watch.read()
        except DatabaseError:
            connection.close()
            yield _gauge("database_up", "Whether the database responds in time.", [([], 0.0)])
            return
        yield _gauge("database_up", "Whether the database responds in time.", [([], 1.0)])
        about = "Whether the database accepts writes, by a recent probe."
        yield _gauge("database_writable", about, [([], float(not write_fault))])
        about = "1 while jobs wait and none has started for 15 s, despite free slots or without an online worker."
        stalls: list[Sample] = [([pool.name], float(pool.name in stalled)) for pool in measures.liveness.pools]
        yield _gauge("pool_stalled", about, stalls, ["pool"])
        yield from _queue_families(measures)
        yield from _pool_families(measures)
        yield from _liveness_families(measures)
        yield from _heartbeat_families(measures)
        yield from _tenant_families(measures)
        yield from _prediction_families(measures)
        yield from _upkeep_families(measures, upkeep)
        about = "Seconds for which jobs of a kind have waited for a worker that supports it."
        ages: list[Sample] = [([each.pool, each.kind], (now - each.since).total_seconds()) for each in unknown]
        yield _gauge("unknown_kind_seconds", about, ages, ["pool", "kind"])
        about = "Open circuit breakers, by kind and shared dependency."
        circuits: list[Sample] = [([*names], float(count)) for names, count in measures.open_circuits.items()]
        yield _gauge("open_circuits", about, circuits, ["kind", "dependency"])
        yield from _alert_families(measures)
        yield from _load_families(loads)
        hours = DEAD_LETTER_AGE.total_seconds() / 3_600
        about = f"Dead letters of the last {hours:.0f} hours, counted up to a limit."
        yield _gauge("recent_dead_letters", about, [([], float(dead_letters.value))])

    def describe(self) -> list[Metric]:
        """Return an empty list: the registration of the collector must not read the database."""
        return []


def _load_families(states: Sequence[LoadState]) -> Iterator[Metric]:
    about = "Load state: 0 normal, 1 busy, 2 overloaded, 3 brown-out."
    levels: list[Sample] = [([row.scope], float(row.applying(timezone.now()))) for row in states]
    yield _gauge("load_state", about, levels, ["scope"])
    values: list[Sample] = [([row.scope, name], value) for row in states for name, value in row.signals.items()]
    yield _gauge(
        "load_signal", "Measured value behind a load state, in the unit of its threshold.", values, ["scope", "signal"]
    )


def _queue_families(measures: Measures) -> Iterator[Metric]:
    for name, about, value in _QUEUE_GAUGES:
        yield _gauge(name, about, [([queue.name], float(value(queue))) for queue in measures.queues], ["queue"])


def _pool_families(measures: Measures) -> Iterator[Metric]:
    pools = measures.liveness.pools
    served = {pool.name: [queue for queue in measures.queues if queue.pool == pool.name] for pool in pools}
    yield _gauge("pool_slots", "Slots of live workers.", [([pool.name], pool.slots) for pool in pools], ["pool"])
    yield _gauge(
        "pool_in_flight_messages",
        "Messages in flight.",
        [([name], float(sum(queue.messages for queue in queues))) for name, queues in served.items()],
        ["pool"],
    )
    yield _gauge(
        "pool_predicted_seconds",
        "Predicted slot time of the ready jobs; divided by the slots, the time until they are done.",
        [([name], sum(queue.ready_seconds for queue in queues)) for name, queues in served.items()],
        ["pool"],
    )


def _liveness_families(measures: Measures) -> Iterator[Metric]:
    pools = measures.liveness.pools
    yield _gauge(
        "pool_queues_without_consumer",
        "Queues without a live worker.",
        [([pool.name], 0.0 if pool.workers else float(len(pool.queues))) for pool in pools],
        ["pool"],
    )
    yield _gauge(
        "pool_seconds_since_tick",
        "Seconds since the last tick of a dispatcher.",
        [([name], age) for name, age in measures.tick_ages.items()],
        ["pool"],
    )
    yield _gauge(
        "pool_oldest_canary_seconds",
        "Age of the oldest canary response of a worker.",
        [([pool.name], pool.oldest_canary_seconds) for pool in pools if pool.oldest_canary_seconds is not None],
        ["pool"],
    )
    yield _gauge(
        "workers",
        "Worker processes by status.",
        [
            ([pool.name, str(state)], float(measures.workers.get((pool.name, state), 0)))
            for pool in pools
            for state in WORKER_STATES
        ],
        ["pool", "status"],
    )


def _heartbeat_families(measures: Measures) -> Iterator[Metric]:
    ages = measures.liveness.process_ages
    yield _gauge(
        "process_heartbeat_age_seconds",
        "Age of the last heartbeat of a dispatcher, and of beat.",
        [([role], age) for role, age in ages.items()],
        ["role"],
    )
    skew = measures.liveness.worst_skew_seconds
    worst: list[Sample] = [] if skew is None else [([], skew)]
    yield _gauge(
        "clock_skew_seconds",
        f"The worst clock skew of processes with a heartbeat within {platform_settings.LEASE_SECONDS:g} s.",
        worst,
    )


def _tenant_families(measures: Measures) -> Iterator[Metric]:
    tenants = measures.tenants
    about = "of the tenants with the greatest entitlements, in the last ten minutes"
    yield _gauge(
        "tenant_share_ratio",
        f"Used over entitled slot time while backlogged, for a minute at least, {about}; 1 is fair.",
        [([tenant.slug], tenant.ratio) for tenant in tenants if tenant.ratio is not None],
        ["tenant"],
    )
    yield _gauge(
        "tenant_used_slots", f"Mean slots in use, {about}.", [([t.slug], t.used_slots) for t in tenants], ["tenant"]
    )
    yield _gauge(
        "tenant_entitled_slots",
        f"Mean slots entitled to, {about}.",
        [([tenant.slug], tenant.entitled_slots) for tenant in tenants],
        ["tenant"],
    )
    yield _gauge(
        "tenant_lag_seconds",
        "Slot-seconds behind its ideal share, by the last sample.",
        [([tenant.slug], tenant.lag_seconds) for tenant in tenants],
        ["tenant"],
    )


def _prediction_families(measures: Measures) -> Iterator[Metric]:
    known = [(kind, cost) for kind, cost in measures.kind_costs.items() if cost.total_us]
    yield _gauge(
        "prediction_error_ratio",
        "Mean absolute error of the last predictions of slot time, relative to the measured time.",
        [([kind], cost.mean_error or 0.0) for kind, cost in known],
        ["kind"],
    )
    yield _gauge(
        "prediction_bias_ratio",
        "Mean signed error of the same predictions: above 0 means too much is predicted.",
        [([kind], cost.bias or 0.0) for kind, cost in known],
        ["kind"],
    )


def _upkeep_families(measures: Measures, upkeep: list[UpkeepStatus]) -> Iterator[Metric]:
    yield _gauge(
        "upkeep_overdue",
        "Whether an upkeep task is overdue.",
        [([line.task.name], float(line.is_overdue)) for line in upkeep],
        ["task"],
    )
    lag = measures.rollup_lag_seconds
    yield _gauge(
        "rollup_lag_seconds",
        "Seconds since ended executions were last folded into the rollups.",
        [] if lag is None else [([], lag)],
    )
    yield _gauge(
        "audit_unsealed_entries", "Audit entries without a seal, up to a limit.", [([], measures.seals.waiting)]
    )
    yield _gauge(
        "audit_unsealed_age_seconds",
        "Age of the oldest audit entry without a seal.",
        [([], measures.seals.oldest_seconds)],
    )


def _alert_families(measures: Measures) -> Iterator[Metric]:
    firing: list[Sample] = [([severity], float(count)) for severity, count in measures.firing_alerts.items()]
    yield _gauge("alerts_firing", "Alerts that fire, by severity, counted up to a limit.", firing, ["severity"])
    age = measures.alert_evaluation_age
    about = "Seconds since a dispatcher last evaluated the alert rules."
    yield _gauge("alerts_seconds_since_evaluation", about, [] if age is None else [([], age)])


def _gauge(name: str, about: str, samples: Iterable[Sample], labels: list[str] | None = None) -> Metric:
    family = GaugeMetricFamily(f"jobsplatform_{name}", about, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _is_broker_up() -> bool:
    try:
        broker_probes.probe()
    except BrokerUnavailableError:
        return False
    return True


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(PlatformCollector())
