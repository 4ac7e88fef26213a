"""Loads in simulated time for the ETA benchmark: the fair order, the predictor and the ETA are the platform's own.

A pool of slots serves tenants that learn the costs of their jobs as they end. Asked for a waiting job, it builds the
same input of the ETA from the same predictions as `scheduling/jobs/waits/job_eta.py` does from rows.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from scheduling.fairness.eta import (
    UNKNOWN_ERROR,
    Backlog,
    Estimate,
    EtaInput,
    PredictionError,
    QueueBacklogs,
    combine_errors,
    estimate_start,
)
from scheduling.fairness.prediction import CostSums, Sample, cut_outlier, fold, predict

SECOND_US = 1_000_000
SLOTS = 4
EXPECTED_US = 2 * SECOND_US
# The ETA of one job in so many is read a second after it came, and every so many seconds until it starts.
SAMPLE_EVERY, ASK_SECONDS = 5, 6.0
# Each load is simulated with so many seeds, each of which gives other jobs.
SEEDS = (1, 2, 3)
# Starts of the first minute are not counted: nothing was learned before them.
WARM_UP_SECONDS = 60.0


@dataclass(eq=False, slots=True)
class LoadJob:
    """A job of a load, and what the simulation notes of it."""

    tenant: str
    kind: str
    length_us: int
    at_us: float
    started_us: float | None = None
    predicted_us: int = 0


@dataclass(frozen=True, slots=True)
class AskedEta:
    """An estimate of a job's start, and when it was read."""

    job: LoadJob
    at_us: float
    estimate: Estimate


@dataclass(slots=True)
class LoadTenant:
    """A tenant's waiting jobs and virtual time."""

    weight: float
    vruntime: float = 0.0
    waiting: list[LoadJob] = field(default_factory=list)


class SimulatedLoad:
    """The pool with its tenants, in simulated time."""

    def __init__(self, jobs: list[LoadJob], weights: dict[str, float]) -> None:
        self.tenants = {name: LoadTenant(weight) for name, weight in weights.items()}
        self.running: list[LoadJob] = []
        self.asked: list[AskedEta] = []
        self.now = self.virtual_time = 0.0
        self.own: dict[tuple[str, str], CostSums] = {}
        self.kinds: dict[str, CostSums] = {}
        self.samples: dict[str, int] = {}
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[LoadJob], None], LoadJob]] = []
        for number, job in enumerate(jobs):
            self._at(job.at_us, self._arrive, job)
            if number % SAMPLE_EVERY == 0:
                self._at(job.at_us + SECOND_US, self._ask, job)

    def run(self) -> list[AskedEta]:
        """Run until all jobs have ended; return the estimates."""
        while self._events:
            self.now, _, act, job = heapq.heappop(self._events)
            act(job)
        return self.asked

    def _at(self, at_us: float, act: Callable[[LoadJob], None], job: LoadJob) -> None:
        heapq.heappush(self._events, (at_us, next(self._numbers), act, job))

    def _arrive(self, job: LoadJob) -> None:
        tenant = self.tenants[job.tenant]
        if not tenant.waiting:
            tenant.vruntime = max(tenant.vruntime, self.virtual_time)
        tenant.waiting.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        while len(self.running) < SLOTS:
            ready = [tenant for tenant in self.tenants.values() if tenant.waiting]
            if not ready:
                return
            tenant = min(ready, key=lambda one: one.vruntime)
            job = tenant.waiting.pop(0)
            self.virtual_time = max(self.virtual_time, tenant.vruntime)
            job.started_us, job.predicted_us = self.now, self._predict(job)
            tenant.vruntime += job.predicted_us / tenant.weight
            self.running.append(job)
            self._at(self.now + job.length_us, self._end, job)

    def _end(self, job: LoadJob) -> None:
        self.running.remove(job)
        tenant = self.tenants[job.tenant]
        tenant.vruntime += (job.length_us - job.predicted_us) / tenant.weight
        known = self.samples.get(job.kind, 0)
        sample = Sample(0, cut_outlier(job.length_us, job.predicted_us, known), job.predicted_us - job.length_us)
        self.samples[job.kind] = known + 1
        self.kinds[job.kind] = fold(self.kinds.get(job.kind), [sample])
        self.own[job.tenant, job.kind] = fold(self.own.get((job.tenant, job.kind)), [sample])
        self._dispatch()

    def _sums(self, job: LoadJob) -> CostSums | None:
        return self.own.get((job.tenant, job.kind)) or self.kinds.get(job.kind)

    def _predict(self, job: LoadJob) -> int:
        return predict(self._sums(job), expected_us=EXPECTED_US, size=0)

    def _ask(self, job: LoadJob) -> None:
        if job.started_us is not None:
            return
        estimate = self._estimate(job)
        if estimate is not None:
            self.asked.append(AskedEta(job, self.now, estimate))
        self._at(self.now + ASK_SECONDS * SECOND_US, self._ask, job)

    def _estimate(self, job: LoadJob) -> Estimate | None:
        tenant = self.tenants[job.tenant]
        others = [other for other in self.tenants.values() if other is not tenant and other.waiting]
        ahead = tenant.waiting[: tenant.waiting.index(job)]
        work_us = 0.0
        errors: list[tuple[float, PredictionError]] = []
        for sums in map(self._sums, ahead):
            work_us += EXPECTED_US if sums is None else sums.mean_us
            known = None if sums is None else PredictionError(sums.error_us / sums.y, sums.bias_us / sums.y)
            errors.append((1.0, known or UNKNOWN_ERROR))
        if others:
            mean = sum(one.weight * one.vruntime for one in others) / sum(one.weight for one in others)
            work_us += max(0.0, (tenant.vruntime - mean) * tenant.weight)
        outlook = EtaInput(
            SLOTS,
            [QueueBacklogs(1.0, [self._backlog(one) for one in others])],
            Backlog(tenant.weight, work_us, jobs=len(ahead)),
            [self._left_us(one) for one in self.running],
        )
        return estimate_start(outlook, combine_errors(errors))

    def _backlog(self, tenant: LoadTenant) -> Backlog:
        jobs = len(tenant.waiting)
        return Backlog(tenant.weight, jobs * self._predict(tenant.waiting[0]), jobs=jobs)

    def _left_us(self, job: LoadJob) -> float:
        assert job.started_us is not None
        elapsed = self.now - job.started_us
        return max(job.predicted_us - elapsed, elapsed - job.predicted_us, job.predicted_us / 10)


type Length = Callable[[random.Random, str, float], tuple[str, float]]


def make_waves(
    chance: random.Random, weights: dict[str, float], length: Length, *, every: float, waves: int = 10, jobs: int = 40
) -> list[LoadJob]:
    """Return waves of so many jobs of each tenant, ``every`` seconds apart; ``length`` gives a kind and seconds."""
    found = []
    for wave in range(waves):
        for tenant in weights:
            for _ in range(jobs):
                at = wave * every + chance.random() / 5
                kind, seconds = length(chance, tenant, at)
                found.append(LoadJob(tenant, kind, round(seconds * SECOND_US), at * SECOND_US))
    return sorted(found, key=lambda job: job.at_us)


def make_bursts(chance: random.Random, weights: dict[str, float], *, seconds: float, gap: float) -> list[LoadJob]:
    """Return bursts of random tenants and sizes at random times, on average ``gap`` seconds apart."""
    found: list[LoadJob] = []
    at = 0.0
    while at < seconds:
        tenant = chance.choice(list(weights))
        for number in range(chance.randrange(10, 60)):
            length_us = round(1.5 * chance.lognormvariate(-0.08, 0.4) * SECOND_US)
            found.append(LoadJob(tenant, "report", length_us, (at + number / 100) * SECOND_US))
        at += chance.expovariate(1 / gap)
    return sorted(found, key=lambda job: job.at_us)


def _constant(chance: random.Random, tenant: str, at: float) -> tuple[str, float]:
    return "report", 2 * chance.uniform(0.9, 1.1)


def _drifting(chance: random.Random, tenant: str, at: float) -> tuple[str, float]:
    return "report", min(6.0, 1 + at / 250) * chance.uniform(0.9, 1.1)


def _bimodal(chance: random.Random, tenant: str, at: float) -> tuple[str, float]:
    return "report", (8.0 if chance.random() < 0.2 else 0.5) * chance.uniform(0.9, 1.1)


MIXED_MEANS = {"a": 0.6, "b": 2.0, "c": 1.0, "d": 1.0}
# Weight among ten jobs, and length over the tenant's mean.
MIXED_KINDS = {"sleep": (6, 1.0), "allocate": (3, 1.5), "spin": (1, 0.3)}


def _mixed(chance: random.Random, tenant: str, at: float) -> tuple[str, float]:
    kind = chance.choices(list(MIXED_KINDS), [of_ten for of_ten, _ in MIXED_KINDS.values()])[0]
    seconds = MIXED_MEANS[tenant] * MIXED_KINDS[kind][1] * chance.lognormvariate(-0.5, 1.0)
    return kind, min(20.0, seconds)


def simulate_loads() -> dict[str, list[AskedEta]]:
    """Return the ETAs that were asked for, by the name of the load."""
    asked: dict[str, list[AskedEta]] = defaultdict(list)
    for seed in SEEDS:
        for name, found in _simulate(seed):
            asked[name] += found
    return dict(asked)


def _simulate(seed: int) -> Iterator[tuple[str, list[AskedEta]]]:
    chance = random.Random(seed)  # noqa: S311 - durations, not secrets
    three, four = {"a": 1.0, "b": 2.0, "c": 4.0}, {"a": 4.0, "b": 4.0, "c": 2.0, "d": 1.0}
    loads = {
        "constant": (three, make_waves(chance, three, _constant, every=75)),
        "drifting": (three, make_waves(chance, three, _drifting, every=150)),
        "bimodal": (three, make_waves(chance, three, _bimodal, every=75)),
        "bursts": (four, make_bursts(chance, four, seconds=900, gap=25)),
        "mixed tenants": (four, make_waves(chance, four, _mixed, every=75)),
    }
    for name, (weights, jobs) in loads.items():
        asked = SimulatedLoad(jobs, weights).run()
        yield name, [one for one in asked if one.job.at_us >= WARM_UP_SECONDS * SECOND_US]
