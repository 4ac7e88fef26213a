"""Workloads for simulations: a pool with its queues and tenants, and their jobs, drawn from seeded random streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, repeat
from math import inf, log
from random import Random
from typing import Any

from scheduling.fairness.lab.terms import Arrivals, EntityShape, OrderPolicy, QueueShape, TreeShape
from scheduling.fairness.nodes import MILLI

SECOND_US = 1_000_000
# More jobs would need more memory than a simulation should.
MOST_JOBS = 2_000_000
# Costs are capped below a century, whatever a heavy tail draws.
MOST_SECONDS = 3.0e9


class TooManyJobsError(ValueError):
    """The error for a workload with more jobs than can be simulated."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A random distribution, given by its name and parameters."""

    name: str
    parameters: Any

    def stream(self, chance: Random) -> Iterator[float]:
        """Return an endless stream of random values drawn with ``chance``."""
        return _STREAMS[self.name](self.parameters, chance)


@dataclass(frozen=True, slots=True)
class TracedJob:
    """A job of a recorded trace: arrival, cost and payload size in bytes."""

    at_seconds: float
    cost_seconds: float
    size: int = 0


@dataclass(frozen=True, slots=True)
class ArrivalPattern:
    """When the jobs of a tenant arrive; a pattern that is None is not used.

    ``bursts`` are (jobs, seconds between bursts), ``on_off`` is (jobs a second, seconds on, seconds off).
    """

    backlog: int = 0
    poisson: float | None = None
    bursts: tuple[int, float] | None = None
    on_off: tuple[float, float, float] | None = None
    trace: Sequence[TracedJob] = ()

    @property
    def is_endless(self) -> bool:
        return not (self.poisson is None and self.bursts is None and self.on_off is None)


@dataclass(frozen=True, slots=True)
class WorkloadQueue:
    """A queue with its weight, its cap, and the expected seconds of a job of an unknown kind."""

    name: str
    weight: float = 1.0
    cap: float = inf
    expected_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class WorkloadTenant:
    """A tenant of a workload and its jobs.

    ``group`` is the entry of the file to which it belongs, ``key_weights`` are the frequencies of its fair keys.
    """

    name: str
    arrivals: ArrivalPattern
    group: str = ""
    queue: int = 0
    weight: float = 1.0
    cap: float = inf
    from_seconds: float = 0.0
    until_seconds: float = inf
    cost: Distribution = Distribution("constant", 1.0)
    is_known: bool = True
    size: Distribution | None = None
    seconds_per_mib: float = 0.0
    key_weights: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """The input of a simulation; it stops after ``seconds`` or ``jobs``, whichever comes first."""

    slots: int
    tenants: Sequence[WorkloadTenant]
    queues: Sequence[WorkloadQueue] = (WorkloadQueue("default"),)
    policies: Sequence[OrderPolicy] = (OrderPolicy.FIFO, OrderPolicy.CAP, OrderPolicy.ROUND_ROBIN, OrderPolicy.CFS)
    seed: int = 0
    seconds: float | None = None
    jobs: int | None = None
    granularity_seconds: float = 120.0
    title: str = ""
    target: str = ""

    def shape(self) -> TreeShape:
        """Return the tree of the pool; each tenant is in one queue, so entities and tenants have the same numbers."""
        return TreeShape(
            queues=[QueueShape(max(1, round(queue.weight * MILLI)), queue.cap) for queue in self.queues],
            caps=[tenant.cap for tenant in self.tenants],
            entities=[
                EntityShape(tenant.queue, number, max(1, round(tenant.weight * MILLI)))
                for number, tenant in enumerate(self.tenants)
            ],
        )

    def draw_arrivals(self) -> Arrivals:
        """Draw the jobs, and return them in order of arrival; a tenant's jobs depend only on the seed and its name.

        Raise TooManyJobsError for more than MOST_JOBS jobs.
        """
        horizon = inf if self.seconds is None else self.seconds
        jobs: list[tuple[int, int, int, int, int]] = []
        first_key = 0
        for number, tenant in enumerate(self.tenants):
            room = MOST_JOBS - len(jobs)
            for made, (at, cost, size, key) in enumerate(_draw(tenant, self.seed, horizon)):
                if made >= room:
                    raise TooManyJobsError(f"more than {MOST_JOBS:,} jobs would arrive")
                jobs.append((at, number, cost, size, first_key + key))
            first_key += max(1, len(tenant.key_weights))
        # By time, then by tenant; the stable sort keeps the jobs of a tenant in the order in which they were drawn.
        jobs.sort(key=lambda job: job[0])
        has_keys = any(tenant.key_weights for tenant in self.tenants)
        columns = [[job[place] for job in jobs] for place in range(5)]
        at_us, entity, cost_us, sizes, keys = columns
        return Arrivals(at_us, entity, cost_us, None, keys if has_keys else None, sizes)


def _draw(tenant: WorkloadTenant, seed: int, horizon: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield (arrival, cost, size, key) of each job of a tenant; each aspect has a separate seeded stream."""
    streams = {aspect: Random(f"{seed}/{tenant.name}/{aspect}") for aspect in ("times", "cost", "size", "key")}  # noqa: S311 - a simulation
    costs = tenant.cost.stream(streams["cost"])
    sizes = repeat(0.0) if tenant.size is None else tenant.size.stream(streams["size"])
    thresholds = list(accumulate(tenant.key_weights))
    keys = range(len(thresholds))
    end = min(horizon, tenant.until_seconds)
    for at_seconds, traced in _times(tenant, streams["times"], end):
        size = traced.size if traced else round(next(sizes))
        cost = traced.cost_seconds if traced else next(costs) + tenant.seconds_per_mib * size / 2**20
        key = streams["key"].choices(keys, cum_weights=thresholds)[0] if thresholds else 0
        yield _microseconds(at_seconds), max(1, _microseconds(cost)), size, key


def _times(tenant: WorkloadTenant, chance: Random, end: float) -> Iterator[tuple[float, TracedJob | None]]:
    """Yield the arrival times of a tenant's jobs, one pattern after the other."""
    pattern, first = tenant.arrivals, tenant.from_seconds
    if first < end:
        yield from ((first, None) for _ in range(pattern.backlog))
    if pattern.poisson is not None:
        yield from ((at, None) for at in _poisson(pattern.poisson, chance, first, end))
    if pattern.bursts is not None:
        size, every = pattern.bursts
        for burst in count():
            if (at := first + burst * every) >= end:
                break
            yield from ((at, None) for _ in range(size))
    if pattern.on_off is not None:
        rate, on, off = pattern.on_off
        for period in count():
            if (begins := first + period * (on + off)) >= end:
                break
            yield from ((at, None) for at in _poisson(rate, chance, begins, min(begins + on, end)))
    yield from ((first + job.at_seconds, job) for job in pattern.trace if first + job.at_seconds < end)


def _poisson(rate: float, chance: Random, begin: float, end: float) -> Iterator[float]:
    at = begin + chance.expovariate(rate)
    while at < end:
        yield at
        at += chance.expovariate(rate)


def _microseconds(seconds: float) -> int:
    return round(min(seconds, MOST_SECONDS) * SECOND_US)


def _draw_uniform(bounds: Sequence[float], chance: Random) -> Iterator[float]:
    return (chance.uniform(*bounds) for _ in count())


def _draw_exponential(mean: float, chance: Random) -> Iterator[float]:
    return (chance.expovariate(1 / mean) for _ in count())


def _draw_lognormal(parameters: dict[str, float], chance: Random) -> Iterator[float]:
    mu, sigma = log(parameters["median"]), parameters["sigma"]
    return (chance.lognormvariate(mu, sigma) for _ in count())


def _draw_pareto(parameters: dict[str, float], chance: Random) -> Iterator[float]:
    least, alpha, most = parameters["minimum"], parameters["alpha"], parameters.get("maximum", MOST_SECONDS)
    return (min(most, least * chance.paretovariate(alpha)) for _ in count())


def _draw_empirical(values: Sequence[float], chance: Random) -> Iterator[float]:
    return (chance.choice(values) for _ in count())


_STREAMS: dict[str, Callable[[Any, Random], Iterator[float]]] = {
    "constant": lambda value, _: repeat(value),
    "uniform": _draw_uniform,
    "exponential": _draw_exponential,
    "lognormal": _draw_lognormal,
    "pareto": _draw_pareto,
    "empirical": _draw_empirical,
}
