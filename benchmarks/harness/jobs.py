"""Jobs of a part: timed from submission to start, counted as they end, metered, and verified afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from django.core.management import CommandError, call_command

from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog, run_statement
from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import Processes, read_processor_seconds, seconds_of, serving
from jobsplatform.demo.provision import ACTOR
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Job
from tenants.audit.auditor import auditor_login
from tenants.audit.sealing import seal_entries
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.models import Tenant

SEED, JOB_SECONDS_AT_MOST = 20_261_125, 30.0
NOOP = JobRequest(kind="noop")
# Estimates start where a tenant's first jobs would have brought them: a job of unknown cost is not merged.
NOOP_US = 1_000
SETTLE_SECONDS = 2.0
# After so many jobs the kind's cost is known: the first ones of a kind are not merged.
WARM_UP_JOBS, DRAIN_SECONDS = 200, 60.0
COMMAND, MOST_OUTPUT = "verify", 2_000
_UNFINISHED = "SELECT (SELECT count(*) FROM scheduling_execution_live) + (SELECT count(*) FROM scheduling_settled)"


def time_starts(
    processes: Processes,
    tenant: Tenant,
    jobs: int,
    pause: tuple[float, float],
    *,
    between: Callable[[int], object] = lambda number: None,
) -> Sequence[float]:
    """Submit no-op jobs one at a time and return milliseconds from each commit to its start.

    Call ``between`` with each job's number before its submission.
    """
    chance = random.Random(SEED)  # noqa: S311 - pauses, not secrets
    waits = []
    for number in range(jobs):
        between(number)
        job_id = submit_one(tenant)
        committed_at = time.time()
        # Long enough not to disturb the start by polling; random, so that it matches no interval of the platform.
        time.sleep(chance.uniform(*pause))
        waits.append(max(0.0, wait_started(processes, job_id) - committed_at) * 1e3)
    return waits


def submit_one(tenant: Tenant, request: JobRequest = NOOP) -> UUID:
    """Submit a job by the service that the API calls, and return its id."""
    with acting_as(ACTOR), tenant_context(tenant):
        bulk = submit_jobs(tenant=tenant, requests=[request], is_atomic=True)
    return bulk.accepted[0][1].job.pk


def wait_started(processes: Processes, job_id: UUID) -> float:
    """Wait for the job's first start and return its time by the database's clock."""
    processes.wait_until(lambda: bool(read_starts([job_id])), within=JOB_SECONDS_AT_MOST, what="the job starts")
    return read_starts([job_id])[job_id]


def read_starts(job_ids: Sequence[UUID]) -> dict[UUID, float]:
    """Return the time of the first start of those jobs that have started."""
    with all_tenants():
        found = Job.objects.filter(pk__in=job_ids, started_at__isnull=False).values_list("pk", "started_at")
        return {job_id: at.timestamp() for job_id, at in found}


def count_ended() -> int:
    """Return the number of attempts that have ended."""
    return ask("SELECT count(*) FROM scheduling_execution")


def count_waiting() -> int:
    """Return the number of jobs that wait for a slot."""
    return ask("SELECT count(*) FROM scheduling_job_ready")


def warm_up(processes: Processes) -> None:
    """Wait until the kind's cost is known and all is loaded."""
    processes.wait_until(lambda: count_ended() >= WARM_UP_JOBS, within=DRAIN_SECONDS, what="the first jobs end")


def wait_drained(processes: Processes) -> None:
    """Wait until nothing is in flight, and the dispatcher has folded all ended executions."""
    processes.wait_until(lambda: ask(_UNFINISHED) == 0, within=DRAIN_SECONDS, what="nothing is in flight")


def measure_rate(processes: Processes, seconds: float) -> float:
    """Return the jobs that end per second, after a moment to settle. Raise `MeasureFailedError` if none is left."""
    time.sleep(SETTLE_SECONDS)
    processes.require_alive()
    before, began = count_ended(), time.monotonic()
    time.sleep(seconds)
    processes.require_alive()
    ended, took = count_ended() - before, time.monotonic() - began
    if not ended or not count_waiting():
        raise MeasureFailedError(f"{ended:,} jobs ended in {took:.0f} s, and none was left.")
    return ended / took


@dataclass(frozen=True, slots=True)
class Drained:
    """Jobs per second, milliseconds of processor time of all processes per job, and the meter's text."""

    rate: float
    cpu_ms: float
    words: str


def drain_backlog(
    folder: Path,
    jobs: int,
    seconds: float,
    *,
    slots: int,
    tenants: int,
    estimate_us: int = NOOP_US,
    has_spare: bool = True,
    **backlog: Any,
) -> Drained:
    """Measure how fast a backlog of equal tenants ends."""
    clear_platform()
    fill_backlog(add_tenants(tenants, estimate_us=estimate_us), jobs, **{"payload": {}, **backlog})
    analyse()
    with serving(folder, slots=slots, has_spare=has_spare) as processes:
        warm_up(processes)
        with Meter(processes, slots=slots) as meter:
            rate = measure_rate(processes, seconds)
    return Drained(rate, meter.processors / rate * 1e3, meter.words)


def verify_platform() -> None:
    """Run all consistency checks; raise `MeasureFailedError` with their output if one finds a fault."""
    # No auditor runs, and an entry without a seal is a fault after a minute.
    with auditor_login():
        while seal_entries(budget_seconds=5.0):
            pass
    output = StringIO()
    try:
        call_command(COMMAND, stdout=output)
    except CommandError as error:
        raise MeasureFailedError(f"{COMMAND}: {error}\n{output.getvalue()[:MOST_OUTPUT]}") from error


# Executions of one message share a slot, and are started together.
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
    """A meter of slots and dispatchers between its start and end; ``words`` describe the result for a finding.

    ``processors`` is how many processors all processes used, with those of the servers.
    """

    def __init__(self, processes: Processes, *, slots: int) -> None:
        self._processes, self._slots = processes, slots
        self.words = "not metered"
        self.processors = 0.0

    def __enter__(self) -> Self:
        self._since, self._before, self._of_all = read_moment(), self._read(), self._read_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            return
        until, spent = read_moment(), self._read() - self._before
        seconds = (until - self._since).total_seconds()
        self.processors = (self._read_all() - self._of_all) / seconds
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

    def _read_all(self) -> float:
        return sum(read_processor_seconds(self._processes).values())
