"""The fairness benchmark: the scheduler's targets, measured and simulated. This module measures the tenants' shares."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db.models import Max, Min

from benchmarks.fairness import live_changes, starts, throughput
from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import clear_platform, create_tenants
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most
from benchmarks.harness.processes import serving
from jobsplatform.demo.provision import ACTOR
from jobsplatform.demo.readings import read_executions
from scheduling.fairness.entitlement import jain_index
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Execution
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Tenant

SLOTS, SEED, PART_SECONDS, BULK = 2, 20_261_124, 240.0, 1_000
UNITS, UNIT_SECONDS, JAIN_DISPATCHES, JAIN_TARGET = (1, 2, 5, 10), 0.02, 1_000, 0.999
WEIGHTS, HEAVY_DISPATCHES, SHARE_TARGET = (1, 2, 4, 8), 2_000, 0.03
# Pareto with this minimum and exponent, cut at the maximum: the scheduler cannot predict them.
LEAST_SECONDS, ALPHA, MOST_SECONDS = 0.02, 1.5, 0.4
KEYS, KEY_SECONDS, KEY_DISPATCHES, KEY_TARGET = 20, 0.05, 800, 0.02
# Lengths of jobs, and how many of them: the loss at each end and start is independent of the length.
# Seconds of a job, number of jobs, and the fraction of the slots' time that must be work.
BUSY = ((0.02, 1_500, 0.86), (0.1, 300, 0.97), (1.0, 40, 0.996), (5.0, 14, 0.996))


def measure_jain(folder: Path) -> list[Finding]:
    """Measure equal weights with unequal jobs: time is shared equally, not the number of jobs."""
    # Of 18 dispatches in fair order the tenants have 10, 5, 2 and 1.
    backlogs = [[(UNIT_SECONDS * unit, "")] * (JAIN_DISPATCHES * 10 // (unit * 18) + 100) for unit in UNITS]
    return [
        at_least(
            "Jain index in worker-seconds, four backlogged tenants with jobs of 1, 2, 5 and 10 units",
            *(jain_index(_serve(folder, [1] * len(UNITS), backlogs, JAIN_DISPATCHES)), JAIN_TARGET, ".5f"),
            f"{SLOTS} slots, a unit is {UNIT_SECONDS * 1e3:.0f} ms, the first {JAIN_DISPATCHES} dispatches",
            simulated=f"{measure_row('jain_1_2_5_10').value:.5f}",
        )
    ]


def measure_weights(folder: Path) -> list[Finding]:
    """Measure the weights 1:2:4:8 with costs that are not known in advance."""
    chance = random.Random(SEED)  # noqa: S311 - durations, not secrets
    backlogs = [
        [
            (min(LEAST_SECONDS * chance.paretovariate(ALPHA), MOST_SECONDS), "")
            for _ in range(HEAVY_DISPATCHES * weight // sum(WEIGHTS) * 5 // 4 + 100)
        ]
        for weight in WEIGHTS
    ]
    used = _serve(folder, WEIGHTS, backlogs, HEAVY_DISPATCHES)
    parts = zip(used, WEIGHTS, strict=True)
    return [
        at_most(
            "weights 1:2:4:8, heavy-tailed unknown cost: worst share error",
            *(max(abs(us / sum(used) / (weight / sum(WEIGHTS)) - 1) for us, weight in parts), SHARE_TARGET, ".2%"),
            f"{SLOTS} slots, Pareto {LEAST_SECONDS * 1e3:.0f}–{MOST_SECONDS * 1e3:.0f} ms with α = {ALPHA}, the first "
            f"{HEAVY_DISPATCHES} dispatches",
            simulated=f"{measure_row('weights_1_2_4_8_heavy_tail').value:.2%}",
        )
    ]


def measure_sub_keys(folder: Path) -> list[Finding]:
    """Measure a tenant's gain from splitting its work over many keys."""
    plain = [(KEY_SECONDS, "")] * KEY_DISPATCHES
    keyed = [(KEY_SECONDS, f"user-{number % KEYS}") for number in range(KEY_DISPATCHES)]
    used = _serve(folder, [1, 1], [plain, keyed], KEY_DISPATCHES)
    return [
        at_most(
            f"gain of a tenant from {KEYS} sub-keys",
            *(used[1] / sum(used) / 0.5 - 1, KEY_TARGET, "+.2%"),
            f"{SLOTS} slots, jobs of {KEY_SECONDS * 1e3:.0f} ms, the first {KEY_DISPATCHES} dispatches",
            simulated=f"{measure_row('sub_keys_20').value:+.2%}",
        )
    ]


def measure_busy(folder: Path) -> list[Finding]:
    """Measure the used fraction of the slots while there are jobs for all of them, at some lengths of jobs."""
    return [_measure_busy(folder, *row) for row in BUSY]


def _measure_busy(folder: Path, seconds: float, jobs: int, target: float) -> Finding:
    clear_platform()
    busy = _busy(_run(folder, [1, 1], [[(seconds, "")] * (jobs // 2)] * 2, jobs))
    what = f"slots busy while there are jobs for all of them, jobs of {seconds:g} s"
    lost = (1 / busy - 1) * seconds * 1e3
    words = f"{SLOTS} slots, {jobs} jobs; lost is the time from an end to the next start, {lost:.1f} ms a job here"
    simulated = f"{measure_row('work_conservation').value:.2%}"
    return at_least(what, busy, target, ".2%", words, simulated=simulated)


def _serve(
    folder: Path, weights: Sequence[int], backlogs: Sequence[Sequence[tuple[float, str]]], dispatches: int
) -> list[int]:
    """Return each tenant's measured µs of the first dispatches."""
    # Jobs in flight have not ended: a few more than counted make the first by dispatch complete.
    ids = _run(folder, weights, backlogs, dispatches + 4 * SLOTS)
    used = dict.fromkeys(ids, 0)
    for execution in read_executions(ids)[:dispatches]:
        used[execution.tenant_id] += execution.measured_us
    return list(used.values())


def _run(
    folder: Path, weights: Sequence[int], backlogs: Sequence[Sequence[tuple[float, str]]], ends: int
) -> list[UUID]:
    """Fill backlogs while nothing runs, serve until so many jobs have ended, and return the tenants' ids."""
    tenants = create_tenants(weights)
    for tenant, backlog in zip(tenants, backlogs, strict=True):
        _submit(tenant, backlog)
    ids = [tenant.pk for tenant in tenants]
    with serving(folder, slots=SLOTS) as processes:
        processes.wait_until(lambda: len(read_executions(ids)) >= ends, within=PART_SECONDS, what="the jobs have run")
    return ids


def _submit(tenant: Tenant, backlog: Sequence[tuple[float, str]]) -> None:
    requests = [
        JobRequest(kind="sleep", payload={"seconds": round(seconds, 4)}, fair_key=key) for seconds, key in backlog
    ]
    with acting_as(ACTOR), tenant_context(tenant):
        for first in range(0, len(requests), BULK):
            submit_jobs(tenant=tenant, requests=requests[first : first + BULK])


def _busy(ids: Sequence[UUID]) -> float:
    """Return the used fraction of the slots from the first start to the last dispatch, while more jobs waited."""
    with all_tenants():
        ended = Execution.objects.filter(tenant_id__in=ids, started_at__isnull=False)
        window = ended.aggregate(first=Min("started_at"), last=Max("dispatched_at"))
        spans: list[tuple[datetime, datetime]] = list(ended.values_list("started_at", "ended_at"))
    seconds = (window["last"] - window["first"]).total_seconds()
    used = sum((min(end, window["last"]) - start).total_seconds() for start, end in spans if start < window["last"])
    return used / (SLOTS * seconds)


BENCHMARK = Benchmark(
    name="fairness",
    title="The fair scheduler against its targets",
    parts=(
        Part("jain", 1.0, measure_jain),
        Part("weights", 1.5, measure_weights),
        Part("sub_keys", 1.0, measure_sub_keys),
        Part("busy", 2.0, measure_busy),
        Part("quiet_tenant", 6.0, starts.measure_quiet_tenant),
        Part("changes", 3.0, live_changes.measure_changes),
        Part("throughput", 3.0, throughput.measure_throughput),
        Part("merged", 1.5, throughput.measure_merged),
        Part("bare_celery", 3.0, throughput.measure_bare_celery),
        Part("idle", 2.5, starts.measure_idle),
        Part("takeover", 1.0, starts.measure_takeover),
        Part("killed", 1.5, starts.measure_killed),
        # Last, because it leaves hundreds of thousands of tenants.
        Part("ticks", 4.0, throughput.measure_ticks),
    ),
    method="Real PostgreSQL, Valkey, dispatcher and worker processes, all on this machine; `sleep` and `noop` jobs, "
    "submitted by the service that the API calls, great backlogs by set statements. The simulator's column asks the "
    "same of the pure code with `benchmarks/workloads/`, where slots and job lengths are the file's.",
)
