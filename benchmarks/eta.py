"""The ETA benchmark: ETAs at submission and later against actual starts, of tenants with different jobs."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from django.conf import settings
from django.test.utils import override_settings

from benchmarks.eta_loads import SECOND_US, SEEDS, SLOTS, AskedEta, simulate_loads
from benchmarks.harness.filling import ask
from benchmarks.harness.parts import Benchmark, Finding, MeasureFailedError, Part, at_least, shown
from benchmarks.harness.processes import wait_on_platform
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import ACTOR
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import Job
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant

# Plan and mean length; two tenants share a queue, and the lengths of each vary by a factor of a hundred.
TENANTS = (("professional", 0.12), ("professional", 0.4), ("team", 0.2), ("sandbox", 0.2))
SPREAD, LONGEST_SECONDS = 1.0, 4.0
# How many of ten jobs are of the kind, their length relative to the tenant's mean, their maximum, and their payload.
# `spin` uses the processor, and its timeout is near.
KINDS = {
    "sleep": (6, 1.0, LONGEST_SECONDS, {}),
    "allocate": (3, 1.5, LONGEST_SECONDS, {"mebibytes": 8}),
    "spin": (1, 0.3, 1.0, {}),
}
# Two of them are for tests only: the environment enables them in the started processes.
DIAGNOSTIC = "DIAGNOSTIC_KINDS"
WARM_UP_JOBS, WAVES, WAVE_SECONDS, JOBS_A_WAVE = 15, 3, 12.0, 50
# The ETA of one in so many jobs is read when it is submitted, and again while it waits.
SAMPLE_EVERY, ASK_SECONDS, DRAIN_SECONDS = 5, 6.0, 170.0
# A quarter of a second is one poll of a dispatcher; below it everything is "at once".
AT_ONCE_SECONDS = 0.25
WITHIN, TARGET_SHARE = 2.0, 0.8
LEAST_IN_BAND, MOST_IN_BAND = 0.7, 0.9
SEED = 20_260_103
_UNBEGUN = "SELECT count(*) FROM scheduling_job WHERE started_at IS NULL"


@dataclass(frozen=True, slots=True)
class Asked:
    """One ETA of a job, with its band, and when it was read."""

    job_id: UUID
    kind: str
    at: datetime
    is_first: bool
    eta_seconds: float
    low_seconds: float
    high_seconds: float

    def compare(self, started_at: datetime) -> tuple[float, bool]:
        """Return the ETA over the time until the start, and whether that time is within the band."""
        took = max(AT_ONCE_SECONDS, (started_at - self.at).total_seconds())
        is_in_band = self.low_seconds <= took <= max(AT_ONCE_SECONDS, self.high_seconds)
        return max(AT_ONCE_SECONDS, self.eta_seconds) / took, is_in_band


def measure_waves(folder: Path) -> list[Finding]:
    """Submit three waves of jobs to the running platform; read the ETA of every sampled job until it starts."""
    chance = random.Random(SEED)  # noqa: S311 - durations, not secrets
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        tenants = [
            (create_tenant(slug=f"eta-{number}-{run}", plan=plan), mean) for number, (plan, mean) in enumerate(TENANTS)
        ]
    with (
        patch.dict(os.environ, {DIAGNOSTIC: "true"}),
        override_settings(JOBS_PLATFORM=settings.JOBS_PLATFORM | {DIAGNOSTIC: True}),
        running_platform(folder / "eta.log") as platform,
    ):
        for tenant, mean in tenants:
            _submit(tenant, mean, WARM_UP_JOBS, chance)
        _wait_begun(platform)
        asked = _ask_through_waves(platform, tenants, chance)
        _wait_begun(platform)
    if not asked:
        raise MeasureFailedError("No job waited long enough to have an ETA.")
    with all_tenants():
        starts = dict(Job.objects.filter(pk__in={one.job_id for one in asked}).values_list("pk", "started_at"))
    groups = {
        "all answers": list(asked),
        "those at submission": [answer for answer in asked if answer.is_first],
        "those along the way": [answer for answer in asked if not answer.is_first],
        **{f"those of `{kind}`": [answer for answer in asked if answer.kind == kind] for kind in KINDS},
    }
    return [_finding(name, answers, starts) for name, answers in groups.items() if answers]


def _submit(tenant: Tenant, mean: float, count: int, chance: random.Random) -> list[UUID]:
    """Submit jobs of all kinds with log-normal lengths around ``mean``; a few are ten times as long."""
    requests = []
    for kind in chance.choices(list(KINDS), [of_ten for of_ten, *_ in KINDS.values()], k=count):
        _, factor, longest, payload = KINDS[kind]
        seconds = mean * factor * chance.lognormvariate(-(SPREAD**2) / 2, SPREAD)
        requests.append(JobRequest(kind=kind, payload={**payload, "seconds": round(min(longest, seconds), 3)}))
    with acting_as(ACTOR), tenant_context(tenant):
        return [done.job.pk for _, done in submit_jobs(tenant=tenant, requests=requests).accepted]


def _ask_through_waves(
    platform: Platform, tenants: Sequence[tuple[Tenant, float]], chance: random.Random
) -> list[Asked]:
    asked: list[Asked] = []
    watched: list[UUID] = []
    begun, waves = time.monotonic(), 0
    while time.monotonic() < begun + DRAIN_SECONDS:
        platform.require_alive()
        fresh: list[UUID] = []
        if waves < WAVES and time.monotonic() - begun >= waves * WAVE_SECONDS:
            waves += 1
            for tenant, mean in tenants:
                fresh += _submit(tenant, mean, JOBS_A_WAVE, chance)[::SAMPLE_EVERY]
            time.sleep(1.0)  # so that the dispatcher sees them once
        asked += [answer for job_id in fresh if (answer := _ask(job_id, is_first=True))]
        again = [answer for job_id in watched if (answer := _ask(job_id, is_first=False))]
        asked += again
        watched = [*fresh, *(answer.job_id for answer in again)]
        if waves == WAVES and not watched:
            return asked
        time.sleep(ASK_SECONDS)
    raise MeasureFailedError(f"{len(watched)} jobs had not begun after {DRAIN_SECONDS:.0f} s.\n{platform.log_tail()}")


def _ask(job_id: UUID, *, is_first: bool) -> Asked | None:
    """Return the job's current ETA, or None once it has started."""
    with all_tenants():
        at = read_moment()
        job = Job.objects.select_related("queue").get(pk=job_id)
        explanation = why_waiting(job)
    if explanation is None or explanation.start is None:
        return None
    start = explanation.start
    return Asked(job_id, job.kind, at, is_first, start.eta_seconds, start.low_seconds, start.high_seconds)


def _wait_begun(platform: Platform) -> None:
    wait_on_platform(platform, lambda: not ask(_UNBEGUN), within=DRAIN_SECONDS, what="all jobs begin")


def measure_loads(folder: Path) -> list[Finding]:
    """Return for each load in simulated time how many starts were within the band of their ETA."""
    findings = []
    for name, asked in simulate_loads().items():
        compared = [_compare_simulated(one) for one in asked]
        early, late, near = (sum(one[part] for one in compared) / len(compared) for part in range(3))
        share = 1 - early - late
        findings.append(
            Finding(
                f"starts within the band of their ETA, load `{name}`",
                f"{LEAST_IN_BAND:.0%} to {MOST_IN_BAND:.0%}",
                f"{share:.0%} of {len(compared):,}",
                is_met=LEAST_IN_BAND <= share <= MOST_IN_BAND,
                beside=f"{early:.0%} before the band, {late:.0%} after it; {near:.0%} within {WITHIN:g} times the ETA",
            )
        )
    return findings


def _compare_simulated(asked: AskedEta) -> tuple[bool, bool, bool]:
    """Return whether the job started before its band, after it, and within twice the ETA."""
    assert asked.job.started_us is not None
    took, estimate = max(AT_ONCE_SECONDS, (asked.job.started_us - asked.at_us) / SECOND_US), asked.estimate
    high = max(AT_ONCE_SECONDS, estimate.high_us / SECOND_US)
    ratio = max(AT_ONCE_SECONDS, estimate.wait_us / SECOND_US) / took
    return took < estimate.low_us / SECOND_US, took > high, 1 / WITHIN <= ratio <= WITHIN


def _finding(name: str, answers: Sequence[Asked], starts: dict[UUID, datetime]) -> Finding:
    ratios, bands = zip(*(answer.compare(starts[answer.job_id]) for answer in answers), strict=True)
    share = sum(1 / WITHIN <= ratio <= WITHIN for ratio in ratios) / len(ratios)
    p10, p50, p90 = (percentile(ratios, part) for part in (0.1, 0.5, 0.9))
    what = f"ETA within {WITHIN:g} times of what happened, {name}"
    beside = f"{sum(bands) / len(bands):.0%} within the band; ratio p10 {p10:.2f}, p50 {p50:.2f}, p90 {p90:.2f}"
    if name != "all answers":
        return shown(what, f"{share:.0%} of {len(answers)}", beside)
    return at_least(what, share, TARGET_SHARE, ".0%", beside, note=f" of {len(answers)}")


BENCHMARK = Benchmark(
    name="eta",
    title="ETA against what happened",
    parts=(Part("waves", 3.0, measure_waves), Part("loads", 0.2, measure_loads)),
    method=f"Waves: the ratio is the ETA over the time until the start, both at least {AT_ONCE_SECONDS} s, one look of "
    f"a dispatcher. Four tenants in three queues of a pool; jobs of {len(KINDS)} kinds, each of log-normal length "
    f"(deviation {SPREAD:g} of the logarithm, at most {LONGEST_SECONDS:g} s, seed {SEED}), in {WAVES} waves of "
    f"{JOBS_A_WAVE} each, {WAVE_SECONDS:g} s apart, which an ETA cannot include. The ETA of one job of {SAMPLE_EVERY} "
    f"is read when it is submitted and every {ASK_SECONDS:g} s until it begins. Loads: simulated time, with the "
    f"platform's fair order, predictor and ETA on {SLOTS} slots, seeds {', '.join(map(str, SEEDS))}: three tenants in "
    "waves of jobs of 2 s (constant), of 1 s that become 6 s within 20 minutes (drifting), of 0.5 or 8 s (bimodal); "
    "bursts of four tenants at random times, which are not foreseen, for 60 % of the slots; and four tenants with "
    "different means and kinds of log-normal lengths (mixed tenants).",
)
