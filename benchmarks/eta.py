"""ETAs against what happened: at submission and along the way, of tenants whose jobs differ in kind and length."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.test.utils import override_settings

from benchmarks.harness.parts import NO_TARGET, Benchmark, Finding, MeasureFailedError, Part
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import ACTOR
from scheduling.models import Job
from scheduling.selectors.waiting import why_waiting
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.clock import read_moment
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.services.tenants import create_tenant

# Plan and mean length; two tenants share a queue, and the lengths of each are spread over a factor of a hundred.
TENANTS = (("professional", 0.12), ("professional", 0.4), ("team", 0.2), ("sandbox", 0.2))
SPREAD = 1.0
LONGEST_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of jobs: how often of ten it comes, how long its jobs are beside the tenant's mean, and at most."""

    name: str
    of_ten: int
    factor: float
    longest_seconds: float
    payload: dict[str, Any]


KINDS = (
    Kind("sleep", 6, 1.0, LONGEST_SECONDS, {}),
    Kind("allocate", 3, 1.5, LONGEST_SECONDS, {"mebibytes": 8}),
    # It uses the processor, and its timeout is near.
    Kind("spin", 1, 0.3, 1.0, {}),
)
# Two of them are not for everybody: the environment allows them to the processes that are started.
DIAGNOSTIC = "DIAGNOSTIC_KINDS"
WARM_UP_JOBS = 15
WAVES = 3
WAVE_SECONDS = 12.0
JOBS_A_WAVE = 50
# One of so many is asked about when it is submitted; those are asked again as long as they wait.
SAMPLE_EVERY = 5
ASK_SECONDS = 6.0
DRAIN_SECONDS = 170.0
# A quarter of a second is one look of a dispatcher: nearer than that, both are "at once".
AT_ONCE_SECONDS = 0.25
WITHIN = 2.0
TARGET_SHARE = 0.8
SEED = 20_260_103


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer: of which job, when, and what was said."""

    job_id: UUID
    kind: str
    at: datetime
    is_first: bool
    eta_seconds: float
    low_seconds: float
    high_seconds: float


def measure_waves(folder: Path) -> list[Finding]:
    """Submit three waves of jobs on the running platform; ask for the ETA of every sampled job until it begins."""
    chance = random.Random(SEED)  # noqa: S311 - durations, not secrets
    tenants = _create_tenants()
    with (
        patch.dict(os.environ, {DIAGNOSTIC: "true"}),
        override_settings(**{DIAGNOSTIC: True}),
        running_platform(folder / "eta.log") as platform,
    ):
        for tenant, mean in tenants:
            _submit(tenant, mean, WARM_UP_JOBS, chance)
        _wait_begun(platform)
        asked = _ask_through_waves(platform, tenants, chance)
        _wait_begun(platform)
    return _conclude(asked, _starts({answer.job_id for answer in asked}))


def _create_tenants() -> list[tuple[Tenant, float]]:
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        return [
            (create_tenant(slug=f"eta-{number}-{run}", plan=plan), mean) for number, (plan, mean) in enumerate(TENANTS)
        ]


def _submit(tenant: Tenant, mean: float, count: int, chance: random.Random) -> list[UUID]:
    """Jobs of all kinds, of log-normal length around ``mean``; a few are ten times as long."""
    requests = []
    for kind in chance.choices(KINDS, [kind.of_ten for kind in KINDS], k=count):
        seconds = mean * kind.factor * chance.lognormvariate(-(SPREAD**2) / 2, SPREAD)
        payload = {**kind.payload, "seconds": round(min(kind.longest_seconds, seconds), 3)}
        requests.append(JobRequest(kind=kind.name, payload=payload))
    with acting_as(ACTOR), tenant_context(tenant):
        return [done.job.pk for _, done in submit_jobs(tenant=tenant, requests=requests).accepted]


def _ask_through_waves(
    platform: Platform, tenants: Sequence[tuple[Tenant, float]], chance: random.Random
) -> list[Asked]:
    asked: list[Asked] = []
    watched: list[UUID] = []
    begun = time.monotonic()
    waves = 0
    deadline = begun + DRAIN_SECONDS
    while time.monotonic() < deadline:
        platform.require_alive()
        fresh: list[UUID] = []
        if waves < WAVES and time.monotonic() - begun >= waves * WAVE_SECONDS:
            waves += 1
            for tenant, mean in tenants:
                fresh += _submit(tenant, mean, JOBS_A_WAVE, chance)[::SAMPLE_EVERY]
            time.sleep(1.0)  # the dispatcher looks at them once
        asked += [answer for job_id in fresh if (answer := _ask(job_id, is_first=True))]
        again = [(job_id, answer) for job_id in watched if (answer := _ask(job_id, is_first=False))]
        asked += [answer for _, answer in again]
        watched = [*fresh, *(job_id for job_id, _ in again)]
        if waves == WAVES and not watched:
            return asked
        time.sleep(ASK_SECONDS)
    raise MeasureFailedError(f"{len(watched)} jobs had not begun after {DRAIN_SECONDS:.0f} s.\n{platform.log_tail()}")


def _ask(job_id: UUID, *, is_first: bool) -> Asked | None:
    """What is said of the job now; None once it has begun."""
    with all_tenants():
        at = read_moment()
        job = Job.objects.select_related("queue").get(pk=job_id)
        explanation = why_waiting(job)
    if explanation is None or explanation.start is None:
        return None
    start = explanation.start
    return Asked(job_id, job.kind, at, is_first, start.eta_seconds, start.low_seconds, start.high_seconds)


def _wait_begun(platform: Platform) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        platform.require_alive()
        with all_tenants():
            if not Job.objects.filter(started_at=None).exists():
                return
        time.sleep(0.5)
    raise MeasureFailedError(f"Jobs had not begun after {DRAIN_SECONDS:.0f} s.\n{platform.log_tail()}")


def _starts(job_ids: set[UUID]) -> dict[UUID, datetime]:
    with all_tenants():
        return dict(Job.objects.filter(pk__in=job_ids).values_list("pk", "started_at"))


def _conclude(asked: Sequence[Asked], starts: dict[UUID, datetime]) -> list[Finding]:
    if not asked:
        raise MeasureFailedError("No job waited long enough to have an ETA.")
    groups = {
        "all answers": list(asked),
        "those at submission": [answer for answer in asked if answer.is_first],
        "those along the way": [answer for answer in asked if not answer.is_first],
        **{f"those of `{kind.name}`": [answer for answer in asked if answer.kind == kind.name] for kind in KINDS},
    }
    return [_finding(name, answers, starts) for name, answers in groups.items() if answers]


def _finding(name: str, answers: Sequence[Asked], starts: dict[UUID, datetime]) -> Finding:
    ratios = [_ratio(answer, starts[answer.job_id]) for answer in answers]
    share = sum(1 / WITHIN <= ratio <= WITHIN for ratio in ratios) / len(ratios)
    banded = sum(_is_in_band(answer, starts[answer.job_id]) for answer in answers) / len(answers)
    p10, p50, p90 = (percentile(ratios, part) for part in (0.1, 0.5, 0.9))
    has_target = name == "all answers"
    return Finding(
        what=f"ETA within {WITHIN:g} times of what happened, {name}",
        target=f"≥ {TARGET_SHARE:.0%}" if has_target else NO_TARGET,
        measured=f"{share:.0%} of {len(answers)}",
        is_met=share >= TARGET_SHARE or not has_target,
        beside=f"{banded:.0%} within the band; ratio p10 {p10:.2f}, p50 {p50:.2f}, p90 {p90:.2f}",
    )


def _took(answer: Asked, started_at: datetime) -> float:
    return max(AT_ONCE_SECONDS, (started_at - answer.at).total_seconds())


def _ratio(answer: Asked, started_at: datetime) -> float:
    return max(AT_ONCE_SECONDS, answer.eta_seconds) / _took(answer, started_at)


def _is_in_band(answer: Asked, started_at: datetime) -> bool:
    return answer.low_seconds <= _took(answer, started_at) <= max(AT_ONCE_SECONDS, answer.high_seconds)


BENCHMARK = Benchmark(
    name="eta",
    title="ETA against what happened",
    parts=(Part("waves", 3.0, measure_waves),),
    method=f"The ratio is the ETA over the time until the start, both at least {AT_ONCE_SECONDS} s, which is one look "
    f"of a dispatcher. Four tenants in three queues of a pool; jobs of {len(KINDS)} kinds, each of log-normal length "
    f"(deviation {SPREAD:g} of the logarithm, at most {LONGEST_SECONDS:g} s, seed {SEED}), in {WAVES} waves of "
    f"{JOBS_A_WAVE} each, {WAVE_SECONDS:g} s apart, which an ETA cannot include. The ETA of one job of {SAMPLE_EVERY} "
    f"is read when it is submitted and every {ASK_SECONDS:g} s until it begins.",
)
