"""How soon a job starts: on an idle platform, and behind floods of three sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.fairness.metering import Meter
from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import analyse, clear_platform, create_tenants, fill_backlog
from benchmarks.harness.parts import Finding
from benchmarks.harness.probing import time_starts
from benchmarks.harness.processes import serving
from jobsplatform.demo.measures import percentile
from tenants.models import Tenant

WARM_UP = 10
IDLE_SLOTS, IDLE_JOBS = 2, 150
IDLE_DISPATCHERS = (1, 2, 5)
IDLE_PAUSE = (0.1, 0.2)
IDLE_TARGET_MS = 25.0

BACKLOGS = (1_000, 100_000, 1_000_000)
NOISY_SLOTS, NOISY_SECONDS = 2, 0.2
QUIET_JOBS = 200
QUIET_PAUSE = (0.15, 0.35)
# After so many of the quiet tenant's jobs as many of the noisy one's are added as the slots have done meanwhile.
REFILL_EVERY, REFILL_JOBS = 20, 60
# One slot release, the job that is longest in front of it, and what the platform may add.
QUIET_TARGET_MS = NOISY_SECONDS * 1e3 + 50
# "The same" for a 99th percentile of 200 waits, of which each is anything up to a whole slot release.
SAME_TARGET = 1.25


@dataclass(frozen=True, slots=True)
class _Behind:
    """The quiet tenant's waits behind a flood, in milliseconds."""

    jobs: int
    p50: float
    p99: float
    metered: str

    def finding(self) -> Finding:
        return Finding(
            what=f"quiet tenant's p99 start behind {self.jobs:,} waiting jobs of a noisy one",
            target=f"≤ {QUIET_TARGET_MS:.0f} ms",
            measured=f"{self.p99:.0f} ms (p50 {self.p50:.0f})",
            is_met=self.p99 <= QUIET_TARGET_MS,
            beside=f"{NOISY_SLOTS} slots, jobs of {NOISY_SECONDS * 1e3:.0f} ms, kept at their number while "
            f"{QUIET_JOBS} `noop` jobs are submitted one at a time; {self.metered}; the simulation has the same slots "
            "and lengths",
            simulated=f"{_simulate_quiet_p99(self.jobs) * 1e3:.0f} ms",
        )


def measure_idle(folder: Path) -> list[Finding]:
    """One job at a time; from the moment the submission is committed to the start, by clocks of one machine."""
    return [_idle(folder, dispatchers) for dispatchers in IDLE_DISPATCHERS]


def _idle(folder: Path, dispatchers: int) -> Finding:
    clear_platform()
    (tenant,) = create_tenants([1])
    with serving(folder, slots=IDLE_SLOTS, dispatchers=dispatchers) as processes:
        time_starts(processes, tenant, WARM_UP, IDLE_PAUSE)
        with Meter(processes, slots=IDLE_SLOTS) as meter:
            waits = time_starts(processes, tenant, IDLE_JOBS, IDLE_PAUSE)
    p50, p95, p99 = (percentile(waits, part) for part in (0.5, 0.95, 0.99))
    which = "1 dispatcher" if dispatchers == 1 else f"{dispatchers} dispatchers"
    return Finding(
        what=f"submit to start, nothing else to do, {which}, p95",
        target=f"≤ {IDLE_TARGET_MS:.0f} ms",
        measured=f"{p95:.1f} ms (p50 {p50:.1f}, p99 {p99:.1f})",
        is_met=p95 <= IDLE_TARGET_MS,
        beside=f"{IDLE_SLOTS} slots, {IDLE_JOBS} `noop` jobs one at a time; from the commit of the submission to the "
        f"row of the start, so tick, message and start statement are in it and HTTP is not; {meter.words}",
        simulated=f"{measure_row('idle_system').value * 1e3:.0f} ms",
    )


def measure_quiet_tenant(folder: Path) -> list[Finding]:
    """The same tenant behind floods of three sizes, and the sizes against each other."""
    found = [_behind(folder, jobs) for jobs in BACKLOGS]
    return [*(behind.finding() for behind in found), _compare(found)]


def _behind(folder: Path, jobs: int) -> _Behind:
    clear_platform()
    noisy, quiet = create_tenants([1, 1])
    _flood(noisy, jobs)
    analyse()

    def keep_full(number: int) -> None:
        if number and number % REFILL_EVERY == 0:
            _flood(noisy, REFILL_JOBS)

    with serving(folder, slots=NOISY_SLOTS) as processes:
        time_starts(processes, quiet, WARM_UP, QUIET_PAUSE)
        with Meter(processes, slots=NOISY_SLOTS) as meter:
            waits = time_starts(processes, quiet, QUIET_JOBS, QUIET_PAUSE, between=keep_full)
    return _Behind(jobs, percentile(waits, 0.5), percentile(waits, 0.99), meter.words)


def _flood(noisy: Tenant, jobs: int) -> None:
    fill_backlog([noisy.pk], jobs, kind="sleep", payload={"seconds": NOISY_SECONDS})


def _compare(found: list[_Behind]) -> Finding:
    """Whether the number of jobs in front makes a difference."""
    p99s, p50s = [behind.p99 for behind in found], [behind.p50 for behind in found]
    ratio = max(p99s) / min(p99s)
    simulated = [_simulate_quiet_p99(jobs) for jobs in BACKLOGS]
    return Finding(
        what=f"the same from {BACKLOGS[0]:,} to {BACKLOGS[-1]:,}: greatest p99 over least",
        target=f"≤ {SAME_TARGET:g}×",
        measured=f"{ratio:.2f}× (p50 {max(p50s) / min(p50s):.2f}×)",
        is_met=ratio <= SAME_TARGET,
        beside=f"the three rows before; the greatest p99 is the one behind {found[p99s.index(max(p99s))].jobs:,}",
        simulated=f"{max(simulated) / min(simulated):.2f}×" if min(simulated) else "–",
    )


def _simulate_quiet_p99(jobs: int) -> float:
    return measure_row(f"quiet_tenant_behind_{jobs}").value
