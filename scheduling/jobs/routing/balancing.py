"""The choice among the queues of a balancing rule, by weight, load or distance, or by a routing strategy."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from scheduling.fairness.balance import BalanceTarget, Spread
from scheduling.fleet.queue_consumers import read_loads
from scheduling.jobs.routing.strategies import find_strategy
from scheduling.jobs.routing.strategy_calls import NoChoice, StrategyCaller, TimeAllowance
from scheduling.kit.routing import CandidateQueue, Choice, ReadOnlyObject, RoutedJob
from scheduling.models import Queue, RoutingRule, RoutingTarget
from scheduling.regions.rules import Residency
from scheduling.signals import routing_fell_back
from tenants.database.ids import uuid7

logger = logging.getLogger(__name__)

# What balances in place of a strategy that gives no choice.
FALLBACK: Final = RoutingRule.Balance.LEAST_LOADED
# Each cause of each strategy is logged once in this time.
LOG_SECONDS: Final = 60.0
_NO_FACTS: Final[Mapping[str, str]] = {}

_caller = StrategyCaller()
_logged_at: dict[tuple[str, str], float] = {}


class Routed(NamedTuple):
    """The queue of a job, and what its first event says about the choice: empty if no strategy was to choose."""

    queue: Queue
    facts: Mapping[str, str] = _NO_FACTS


@dataclass(frozen=True, slots=True)
class Balancer:
    """The choices for jobs that are submitted together."""

    spread: Spread = field(default_factory=Spread)
    allowance: TimeAllowance = field(default_factory=TimeAllowance)

    @classmethod
    def load(cls) -> Self:
        """Return a balancer with the current loads of the queues."""
        loads = read_loads()
        # One seed a batch: single jobs are distributed by chance, those of a batch evenly.
        return cls(Spread(seed=uuid7().int % 2**32 / 2**32, loads=loads.by_queue, sent_us=loads.sent_us))

    def choose(
        self, balance: str, rows: Sequence[RoutingTarget], residency: Residency, job: RoutedJob | None
    ) -> Routed:
        """Return the queue of the next job, which is one of the rows'; without a ``job`` no strategy is called."""
        targets = {row.queue_id: _target_of(row, residency) for row in rows}
        if is_strategy(balance):
            if job is not None:
                return self._choose_by_strategy(balance, rows, targets, job)
            balance = FALLBACK
        return Routed(self._choose_by_load(balance, rows, targets))

    def _choose_by_load(
        self, balance: str, rows: Sequence[RoutingTarget], targets: Mapping[int, BalanceTarget]
    ) -> Queue:
        choose = {
            RoutingRule.Balance.WEIGHTED: self.spread.by_weight,
            RoutingRule.Balance.LEAST_LOADED: self.spread.by_load,
            RoutingRule.Balance.NEAREST: self.spread.by_distance,
        }[RoutingRule.Balance(balance)]
        chosen = choose(list(targets.values()))
        return next(row.queue for row in rows if row.queue_id == chosen)

    def _choose_by_strategy(
        self, name: str, rows: Sequence[RoutingTarget], targets: Mapping[int, BalanceTarget], job: RoutedJob
    ) -> Routed:
        found = self._ask(name, rows, targets, job)
        if isinstance(found, Choice):
            queue = next(row.queue for row in rows if row.queue.name == found.queue)
            self.spread.send(targets[queue.pk])
            facts = {"strategy": name, "reason": found.reason}
        else:
            queue = self._choose_by_load(FALLBACK, rows, targets)
            facts = {"strategy": name, "fallback": FALLBACK.value, "cause": found.cause, "reason": found.detail}
            _report(name, found)
        return Routed(queue, {key: value for key, value in facts.items() if value})

    def _ask(
        self, name: str, rows: Sequence[RoutingTarget], targets: Mapping[int, BalanceTarget], job: RoutedJob
    ) -> Choice | NoChoice:
        choose = find_strategy(name)
        if isinstance(choose, NoChoice):
            # Paths and messages of errors are for the self-diagnosis, not for tenants.
            return NoChoice(choose.cause)
        pools = [self._candidate(row, targets[row.queue_id]) for row in rows]
        return _caller.call(name, choose, job, pools, self.allowance)

    def _candidate(self, row: RoutingTarget, target: BalanceTarget) -> CandidateQueue:
        load, pool = self.spread.load_of(row.queue_id), row.queue.pool
        return CandidateQueue(
            queue=row.queue.name,
            pool=pool.name,
            region=pool.region,
            resource_class=pool.resource_class,
            weight=row.weight,
            waiting_seconds=load.work_us / 1_000_000,
            live_slots=load.slots,
            distance=target.distance,
        )


def is_strategy(balance: str) -> bool:
    """Return whether a rule's balance names a strategy, installed or not."""
    return balance not in RoutingRule.Balance


def job_for_strategies(
    kind: str, tier: str, residency: Residency, payload: Mapping[str, Any], tags: Sequence[str]
) -> RoutedJob:
    """Return what a strategy learns about a job."""
    return RoutedJob(kind, tier, residency.home, ReadOnlyObject(payload), tuple(tags))


def _target_of(row: RoutingTarget, residency: Residency) -> BalanceTarget:
    expected_us = max(1, int(row.queue.expected_seconds * 1_000_000))
    return BalanceTarget(row.queue_id, row.weight, expected_us, residency.distance(row.queue.pool.region))


def _report(name: str, found: NoChoice) -> None:
    """Count a fallback, and log it unless this process has just logged the same cause."""
    routing_fell_back.send(sender=None, strategy=name, cause=found.cause)
    now = time.monotonic()
    if now - _logged_at.get((name, found.cause), -LOG_SECONDS) >= LOG_SECONDS:
        _logged_at[name, found.cause] = now
        logger.warning("routing.fell_back", extra={"strategy": name, "cause": found.cause, "detail": found.detail})
