"""View of the tables from outside, by a connection without a role of the platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tests.chaos.history import Effect, Event, Execution, History, Probe, Process, Request
from tests.chaos.timeline import Numbers, Timeline

_EVENTS = "SELECT id, at, tenant_id, job_id, execution_id, name, state, actor, data, position FROM scheduling_jobevent"
_EFFECTS = "SELECT at, tenant_id, job_id, execution_id, fence, step, label, seen, seconds, id FROM chaos_effect"
_NUMBERS = """
SELECT (SELECT last_value FROM scheduling_jobevent_position), (SELECT last_value FROM chaos_effect_id_seq)
"""
_EXECUTIONS = "SELECT id, job_id, outcome, measured_us / 1e6::float8 FROM scheduling_execution"
_HEARTBEATS = """
SELECT pid, extract(epoch FROM now() - max(heartbeat_at))::float8 FROM (
    SELECT pid, heartbeat_at FROM scheduling_worker UNION ALL SELECT pid, heartbeat_at FROM scheduling_process_heartbeat
) beats GROUP BY pid
"""
_UNENDED = """
SELECT count(*) FROM scheduling_job WHERE state NOT IN ('completed', 'cancelled', 'discarded', 'quarantined')
"""
_RUNNING = """
SELECT l.job_id, l.id, l.fence, e.pid, l.worker_id FROM scheduling_execution_live l
JOIN chaos_effect e ON e.job_id = l.job_id AND e.fence = l.fence AND e.step = 'begin'
ORDER BY l.id
"""
_FIRST_START = """
SELECT extract(epoch FROM min(at))::float8 FROM scheduling_jobevent
WHERE name = 'execution.started' AND at > to_timestamp(%s)
"""
_STARTS = """
SELECT job_id, extract(epoch FROM min(at))::float8 FROM scheduling_jobevent
WHERE name = 'execution.started' AND at > to_timestamp(%s) AND job_id = ANY (%s) GROUP BY 1
"""
# A start has the time at which its transaction began, so a concurrent one may seem older than rows seen before its
# commit. Ids of executions, which rise, decide instead.
_TAKEN_UP = """
SELECT w.job_id, extract(epoch FROM min(e.at))::float8
FROM unnest(%s::uuid[], %s::uuid[]) AS w(job_id, execution_id) JOIN scheduling_jobevent e
    ON e.job_id = w.job_id AND e.execution_id >= w.execution_id AND e.name = 'execution.started'
GROUP BY 1
"""

_BEGUN_AGAIN = """
SELECT w.job_id, extract(epoch FROM min(e.at))::float8
FROM unnest(%s::uuid[], %s::uuid[]) AS w(job_id, execution_id) JOIN scheduling_jobevent e
    ON e.job_id = w.job_id AND e.execution_id > w.execution_id AND e.name = 'execution.started'
GROUP BY 1
"""
_SETTLED = "SELECT DISTINCT job_id FROM chaos_effect WHERE execution_id = ANY (%s) AND step = 'settled'"


class View:
    """Queries of the database as its superuser; reconnects after each outage."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        # Its steps are those of a row that sets the clock of the database.
        self._timeline = Timeline()

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement; raise psycopg.OperationalError while the database is away."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except psycopg.OperationalError:
            self._connection.close()
            raise

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement without a result."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement, parameters)

    def number(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the single value of a statement."""
        return self.rows(statement, parameters)[0][0]

    def count_unended(self) -> int:
        """Return the number of jobs that have not ended."""
        return int(self.number(_UNENDED))

    def running(self) -> list[Running]:
        """Return the running jobs that have recorded their first effect."""
        return [Running(*row) for row in self.rows(_RUNNING)]

    def unstarted(self) -> dict[UUID, UUID]:
        """Return the dispatched jobs that have not started, each with its execution."""
        return dict(self.rows("SELECT job_id, id FROM scheduling_execution_live WHERE started_at IS NULL"))  # type: ignore[arg-type]

    def first_start_after(self, moment: float) -> float | None:
        """Return when the next job began, or None."""
        found = self.number(_FIRST_START, [moment])
        return None if found is None else float(found)

    def starts_after(self, moment: float, job_ids: Sequence[UUID]) -> dict[UUID, float]:
        """Return when each of these jobs began next, for those that did."""
        return dict(self.rows(_STARTS, [moment, list(job_ids)]))  # type: ignore[arg-type]

    def resumed_after(self, waiting: Mapping[UUID, UUID]) -> dict[UUID, float]:
        """Return when each of these executions, or a later one of its job, began, for those that did."""
        return dict(self.rows(_TAKEN_UP, [list(waiting), list(waiting.values())]))  # type: ignore[arg-type]

    def restarted_after(self, lost: Sequence[Running]) -> dict[UUID, float]:
        """Return when a later execution of each of these jobs began, for those with one."""
        return dict(self.rows(_BEGUN_AGAIN, [[job.job_id for job in lost], [job.execution_id for job in lost]]))  # type: ignore[arg-type]

    def settled(self, jobs: Sequence[Running]) -> set[UUID]:
        """Return those of these jobs that ended in the given execution."""
        return {job_id for (job_id,) in self.rows(_SETTLED, [[job.execution_id for job in jobs]])}

    def states_of(self, job_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Return the state of each job."""
        return dict(self.rows("SELECT id, state FROM scheduling_job WHERE id = ANY (%s)", [list(job_ids)]))  # type: ignore[arg-type]

    def heartbeat_ages(self) -> dict[int, float]:
        """Return the seconds since each process last reported, by its pid."""
        return dict(self.rows(_HEARTBEATS))  # type: ignore[arg-type]

    def history(
        self, requests: Sequence[Request], *, probes: Sequence[Probe] = (), processes: Sequence[Process] = ()
    ) -> History:
        """Return the input of the checks."""
        return History(
            requests,
            [self._true_time(Event(*row)) for row in self.rows(_EVENTS)],
            [self._true_time(Effect(*row)) for row in self.rows(_EFFECTS)],
            [Execution(*row) for row in self.rows(_EXECUTIONS)],
            probes,
            processes,
        )

    def note_step(self, ahead: timedelta) -> None:
        """Record that the clock of the database is about to be this much ahead of this machine's."""
        self._timeline.step(ahead, self._numbers())

    def note_time(self) -> None:
        """Record the rows written by now: soon after a step, this separates earlier rows."""
        numbers = self._numbers()
        self._timeline.look(datetime.now(UTC), numbers)

    def _numbers(self) -> Numbers:
        return dict(zip((Event.__name__, Effect.__name__), self.rows(_NUMBERS)[0], strict=True))

    def _true_time[Dated: (Event, Effect)](self, row: Dated) -> Dated:
        """Return a row with its time by a clock that was never set."""
        return replace(row, at=self._timeline.true_time(row.at, type(row).__name__, row.number))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Running:
    """Running job: its execution, fence, process and worker."""

    def __init__(self, job_id: UUID, execution_id: UUID, fence: int, pid: int, worker_id: UUID) -> None:
        self.job_id, self.execution_id = job_id, execution_id
        self.fence, self.pid, self.worker_id = fence, pid, worker_id
