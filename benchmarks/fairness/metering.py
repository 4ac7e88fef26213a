"""What else was so while a number was measured: how busy the slots were, and what dispatching cost."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from django.db import connection
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from benchmarks.harness.processes import Processes, seconds_of
from tenants.clock import read_moment
from tenants.context import all_tenants

_SLOT_SECONDS = """
SELECT coalesce(sum(extract(epoch FROM least(ended_at, %(until)s) - greatest(started_at, %(since)s))), 0)::float8
FROM (
    SELECT started_at, ended_at FROM scheduling_execution WHERE ended_at > %(since)s AND started_at < %(until)s
    -- Those of a message have one slot, and are started together.
    UNION ALL SELECT min(started_at), %(until)s FROM scheduling_execution_live WHERE started_at < %(until)s
        GROUP BY message_id
) AS ran
"""
_TICKS = "jobsplatform_dispatch_tick_seconds"
_DISPATCHED = "jobsplatform_jobs_dispatched_total"


class Meter:
    """Measures between its two ends; ``words`` say what, for the text beside a number."""

    def __init__(self, processes: Processes, *, slots: int) -> None:
        self._processes = processes
        self._slots = slots
        self.words = "not metered"

    def __enter__(self) -> Self:
        self._since = read_moment()
        self._before = self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None:
            now, after = read_moment(), self._read()
            self.words = self._describe(now, [new - old for new, old in zip(after, self._before, strict=True)])

    def _read(self) -> tuple[float, float, float, float]:
        """Ticks that dispatched, their seconds and jobs by the dispatchers' own counters, and processor seconds."""
        counters = _read_counters(self._processes.counters)
        processor = sum(seconds_of(process.pid) for process in self._processes.dispatchers)
        ticks = [counters.get(f"{_TICKS}_{what}", 0.0) for what in ("count", "sum")]
        return ticks[0], ticks[1], counters.get(_DISPATCHED, 0.0), processor

    def _describe(self, until: datetime, grown: list[float]) -> str:
        ticks, tick_seconds, jobs, processor = grown
        seconds = (until - self._since).total_seconds()
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_SLOT_SECONDS, {"since": self._since, "until": until})
            busy = cursor.fetchone()[0] / (self._slots * seconds)
        words = f"measured meanwhile: slots {busy:.0%} busy, dispatching {processor / seconds:.0%} of a processor"
        if ticks and jobs:
            words += (
                f", {processor / jobs * 1e3:.1f} ms of it a dispatched job; "
                f"a tick that dispatched took {tick_seconds / ticks * 1e3:.1f} ms and handed out {jobs / ticks:.1f} "
                f"jobs (means of {ticks:,.0f})"
            )
        return words


def _read_counters(folder: Path) -> dict[str, float]:
    """The dispatchers' counters together, dead ones' included."""
    if not folder.is_dir():
        return {}
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    return {
        sample.name: sample.value for family in registry.collect() for sample in family.samples if not sample.labels
    }
