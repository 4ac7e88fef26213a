"""What else was so while a number was measured: how busy the slots were, and what dispatching cost."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from benchmarks.harness.filling import run_statement
from benchmarks.harness.processes import Processes, seconds_of
from tenants.clock import read_moment

# Executions of a message have one slot, and are started together.
_RAN = """
SELECT coalesce(sum(extract(epoch FROM least(ended_at, %(until)s) - greatest(started_at, %(since)s))), 0)::float8, (
    SELECT count(*) FROM scheduling_execution WHERE dispatched_at BETWEEN %(since)s AND %(until)s
)
FROM (
    SELECT started_at, ended_at FROM scheduling_execution WHERE ended_at > %(since)s AND started_at < %(until)s
    UNION ALL SELECT min(started_at), %(until)s FROM scheduling_execution_live WHERE started_at < %(until)s
        GROUP BY message_id
) AS ran
"""


class Meter:
    """Measures between its two ends; ``words`` describe it for the text beside a number."""

    def __init__(self, processes: Processes, *, slots: int) -> None:
        self._processes, self._slots = processes, slots
        self.words = "not metered"

    def __enter__(self) -> Self:
        self._since, self._before = read_moment(), self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            return
        until, spent = read_moment(), self._read() - self._before
        seconds = (until - self._since).total_seconds()
        ((busy, jobs),) = run_statement(_RAN, {"since": self._since, "until": until})
        self.words = (
            f"measured meanwhile: slots {busy / (self._slots * seconds):.0%} busy, dispatching {spent / seconds:.0%} "
            "of a processor"
        )
        if jobs:
            self.words += f", {spent / jobs * 1e3:.1f} ms of it per job that was dispatched and ended"

    def _read(self) -> float:
        """Return the dispatchers' processor seconds."""
        return sum(seconds_of(process.pid) for process in self._processes.dispatchers)
