"""Estimates of when waiting jobs start, by a model in which work flows like a fluid.

Jobs are combined into backlogs of predicted slot time, which flow into the slots that the tree's weights give them.
Whenever a backlog is empty or a running job ends, the slots are shared again, by the water-filling of the entitlement.
So a competitor with two jobs delays others only briefly, and a capped one leaves the rest to others. The cost depends
on the number of backlogs, never on the number of jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, inf, sqrt

from scheduling.fairness.entitlement import EPSILON, water_fill

# The shortest distinguishable time, in microseconds.
LEAST_US = 1.0
# After this many changes the shares are assumed constant.
MOST_ROUNDS = 400
# Deviations of the logarithm of a wait: by the fluid model itself, and by jobs that come later, which only delay it.
MODEL_DEVIATION, ARRIVALS_DEVIATION = 0.05, 0.3
# The deviation of a job's slot time from its prediction, over the mean absolute error: slot times have long tails.
TAIL = 2.0
# Predictions have followed half of a drift that their errors show.
DRIFT_LEFT = 0.5
# A greater error of predictions only says that nothing is known.
MOST_ERROR = 2.0
# A start may be one look of a dispatcher later or earlier than a slot comes free, in microseconds.
LOOK_US = 250_000.0
# Half the band, in deviations: four starts in five lie within, if logarithms were normal.
BAND = 1.28


@dataclass(frozen=True, slots=True)
class Backlog:
    """The waiting work of one tenant in a queue, or of several tenants that will be done at about the same time.

    ``cap`` is the most slots that it may use at once, ``work_us`` the predicted slot time of its ``jobs``.
    """

    weight: float
    work_us: float
    cap: float = inf
    jobs: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueBacklogs:
    """A queue with the backlogs that compete in it."""

    weight: float
    backlogs: Sequence[Backlog]
    cap: float = inf


def rate_cap(per_minute: int | None, backlogs: Sequence[Backlog], *, default_us: float = 0.0) -> float:
    """Return the slots that a queue's rate allows at the mean cost of its jobs; ``default_us`` is that without jobs."""
    if per_minute is None:
        return inf
    jobs = sum(backlog.jobs for backlog in backlogs)
    mean_us = sum(backlog.work_us for backlog in backlogs) / jobs if jobs else default_us
    return per_minute * mean_us / 60e6


@dataclass(frozen=True, slots=True)
class EtaInput:
    """The work that may delay one job.

    ``own`` is its tenant's work before it in the queue ``queues[0]``; ``queues`` lists the backlogs of the others, also
    in that queue. ``running_us`` is how long each job in flight will still use its slot; ``own_running_us`` are those
    of its tenant, which use up its cap.
    """

    slots: int
    queues: Sequence[QueueBacklogs]
    own: Backlog
    running_us: Sequence[float]
    own_running_us: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class PredictionError:
    """Errors of recent predictions of slot time over the measured time: their mean without sign, and with it."""

    mean: float = 1.0
    bias: float = 0.0

    def deviation(self, jobs: float) -> float:
        """Return the deviation of the logarithm of the slot time of so many jobs together.

        Errors of single jobs cancel out; the error that they have in common, while a kind drifts, remains.
        """
        mean, bias = (min(abs(error), MOST_ERROR) for error in (self.mean, self.bias))
        return sqrt(MODEL_DEVIATION**2 + (TAIL * mean) ** 2 / (1.0 + jobs) + (DRIFT_LEFT * bias) ** 2)


UNKNOWN_ERROR = PredictionError()


def combine_errors(parts: Sequence[tuple[float, PredictionError]]) -> PredictionError:
    """Return the error over several kinds, each weighted by its number of jobs; unknown without jobs."""
    jobs = sum(count for count, _ in parts)
    if not jobs:
        return UNKNOWN_ERROR
    return PredictionError(
        sum(count * error.mean for count, error in parts) / jobs,
        sum(count * error.bias for count, error in parts) / jobs,
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated time until a job starts, with a band of likely times.

    ``others_jobs`` is about how many jobs of other tenants start before it.
    """

    wait_us: float
    low_us: float
    high_us: float
    others_jobs: float


def estimate_start(outlook: EtaInput, error: PredictionError = UNKNOWN_ERROR) -> Estimate | None:
    """Estimate when the job starts if no more jobs arrive; return None if it never would as things stand.

    ``error`` is that of the predictions for the jobs ahead: it widens the band, the more the fewer they are.
    """
    flow = _Flow(outlook)
    wait_us = flow.run()
    if wait_us is None:
        return None
    deviation = error.deviation(outlook.own.jobs + flow.others_jobs)
    low_us = max(0.0, wait_us * exp(-BAND * deviation) - LOOK_US)
    high_us = wait_us * exp(BAND * hypot(deviation, ARRIVALS_DEVIATION)) + LOOK_US
    return Estimate(wait_us, low_us, high_us, flow.others_jobs)


class _Flow:
    """The backlogs while they flow off; the own one is the first of the first queue."""

    def __init__(self, outlook: EtaInput) -> None:
        self.outlook = outlook
        self.queues = [
            [backlog for backlog in queue.backlogs if backlog.work_us >= LEAST_US] for queue in outlook.queues
        ]
        # A job with no work before it still waits for its slot.
        self.queues[0].insert(0, replace(outlook.own, work_us=max(outlook.own.work_us, LEAST_US)))
        self.left = [[backlog.work_us for backlog in backlogs] for backlogs in self.queues]
        self.others_jobs = 0.0

    def run(self) -> float | None:
        """Run until the own backlog is empty; return the time it took, or None."""
        now = 0.0
        ends = sorted({*self.outlook.running_us})
        for _ in range(MOST_ROUNDS):
            rates = self._rates(now)
            step = self._step(rates)
            next_end = next((end for end in ends if end > now), inf)
            own_us = self.left[0][0] / rates[0][0] if rates[0][0] > EPSILON else inf
            if own_us < inf and own_us <= min(step, next_end - now):
                self._flow(rates, own_us)
                return now + own_us
            step = min(step, next_end - now)
            if step == inf:
                return None
            self._flow(rates, step)
            # Not now + step, which rounding could leave short of the end for ever.
            now = next_end if step == next_end - now else now + step
            # Emptied together with another backlog, up to rounding.
            if self.left[0][0] <= EPSILON:
                return now
        rates = self._rates(now)
        return now + self.left[0][0] / rates[0][0] if rates[0][0] > EPSILON else None

    def _rates(self, now: float) -> list[list[float]]:
        """Return the slots of each backlog at this moment, without those that running jobs hold."""
        running = sum(1 for end in self.outlook.running_us if end > now)
        own_running = sum(1 for end in self.outlook.own_running_us if end > now)
        caps = [
            [backlog.cap if left > EPSILON else 0.0 for backlog, left in zip(backlogs, lefts, strict=True)]
            for backlogs, lefts in zip(self.queues, self.left, strict=True)
        ]
        caps[0][0] = max(0.0, caps[0][0] - own_running)
        given = water_fill(
            max(0, self.outlook.slots - running),
            [queue.weight for queue in self.outlook.queues],
            [min(queue.cap, sum(own)) for queue, own in zip(self.outlook.queues, caps, strict=True)],
        )
        return [
            water_fill(slots, [backlog.weight for backlog in backlogs], own)
            for slots, backlogs, own in zip(given, self.queues, caps, strict=True)
        ]

    def _step(self, rates: Sequence[Sequence[float]]) -> float:
        """Return the time until the first backlog is empty."""
        return min(
            (
                left / rate
                for lefts, row in zip(self.left, rates, strict=True)
                for left, rate in zip(lefts, row, strict=True)
                if rate > EPSILON and left > EPSILON
            ),
            default=inf,
        )

    def _flow(self, rates: Sequence[Sequence[float]], step: float) -> None:
        for number, (backlogs, lefts, row) in enumerate(zip(self.queues, self.left, rates, strict=True)):
            for place, (backlog, rate) in enumerate(zip(backlogs, row, strict=True)):
                served = min(lefts[place], rate * step)
                lefts[place] -= served
                if (number, place) != (0, 0):
                    self.others_jobs += backlog.jobs * served / backlog.work_us
                    if lefts[place] < LEAST_US / 2:
                        lefts[place] = 0.0
