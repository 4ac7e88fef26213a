"""The platform's numbers for Prometheus, read from the database at each scrape: all processes answer the same.

Depth and wait by queue are what autoscalers of workers follow. No number is kept in a process, since web servers and
workers are many and restart.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scheduling.selectors.overview import PoolLine, QueueLine, read_overview
from scheduling.services.upkeep.status import UpkeepLine, read_upkeep
from tenants.context import all_tenants


class PlatformCollector(Collector):
    """Reads queues and pools once a scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield one family a measure, labelled by queue or pool."""
        with all_tenants():
            overview = read_overview()
        yield from _queue_families(overview.queues)
        yield from _pool_families(overview.pools)
        dead_letters = GaugeMetricFamily(
            "jobsplatform_recent_dead_letters", "Dead letters of the last 24 hours, counted up to a limit."
        )
        dead_letters.add_metric([], overview.dead_letters.value)
        yield dead_letters
        yield from _upkeep_families(read_upkeep())

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not read the database."""
        return []


def _queue_families(lines: list[QueueLine]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("jobsplatform_queue_waiting_jobs", "Jobs ready to be handed out.", labels=["queue"])
    oldest = GaugeMetricFamily(
        "jobsplatform_queue_oldest_wait_seconds", "How long the oldest of them has waited; 0 if none.", labels=["queue"]
    )
    dispatched = GaugeMetricFamily(
        "jobsplatform_queue_dispatched_jobs", "Jobs handed out and not begun.", labels=["queue"]
    )
    executing = GaugeMetricFamily("jobsplatform_queue_executing_jobs", "Jobs that run.", labels=["queue"])
    retrying = GaugeMetricFamily(
        "jobsplatform_queue_backing_off_jobs", "Jobs that wait for their next attempt.", labels=["queue"]
    )
    for line in lines:
        label = [line.queue.name]
        waiting.add_metric(label, line.waiting)
        oldest.add_metric(label, line.oldest_seconds or 0.0)
        dispatched.add_metric(label, line.dispatched)
        executing.add_metric(label, line.executing)
        retrying.add_metric(label, line.back_offs.waiting)
    yield from (waiting, oldest, dispatched, executing, retrying)


def _pool_families(lines: list[PoolLine]) -> Iterator[Metric]:
    slots = GaugeMetricFamily("jobsplatform_pool_slots", "Slots of live workers.", labels=["pool"])
    in_flight = GaugeMetricFamily(
        "jobsplatform_pool_in_flight_messages", "Messages handed out to workers.", labels=["pool"]
    )
    silence = GaugeMetricFamily(
        "jobsplatform_pool_seconds_since_tick", "How long ago a dispatcher last ticked.", labels=["pool"]
    )
    for line in lines:
        slots.add_metric([line.name], line.slots)
        in_flight.add_metric([line.name], line.in_flight)
        if line.ticked_seconds is not None:
            silence.add_metric([line.name], line.ticked_seconds)
    yield from (slots, in_flight, silence)


def _upkeep_families(lines: list[UpkeepLine]) -> Iterator[Metric]:
    failed = GaugeMetricFamily("jobsplatform_upkeep_failed", "1 while the task's last run failed.", labels=["task"])
    overdue = GaugeMetricFamily(
        "jobsplatform_upkeep_overdue", "1 while the task had no success within three intervals.", labels=["task"]
    )
    for line in lines:
        failed.add_metric([line.task.name], int(line.has_failed))
        overdue.add_metric([line.task.name], int(line.is_overdue))
    yield from (failed, overdue)


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(PlatformCollector())
