"""The choice of a job's queue: the first rule that matches names it, or the queues to balance over.

Rules may be a second old. A queue whose pool has too little memory for the kind is refused. The kind declares its need.
Measured memory of its jobs is not used: a process's resident memory includes what it shares with its parent, and a wait
for a measured need could not be explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from django.utils.translation import gettext
from psycopg.rows import scalar_row

from scheduling.exceptions import MemoryClassError, QueueNotAllowedError, RouteMissingError
from scheduling.fairness.balance import BalanceTarget, Spread
from scheduling.fleet.queue_consumers import read_loads
from scheduling.jobs.routing.conditions import describe_condition, failing_condition
from scheduling.kit import registry
from scheduling.models import Queue, RoutingRule, RoutingTarget, WorkerPool
from tenants.cache.shared_cache import SharedCache
from tenants.database.ids import uuid7
from tenants.database.prepared import fetch_one
from tenants.database.rows import rows_of_json
from tenants.database.sql import load_sql

_ROUTES = load_sql(__file__)["read_routes"]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routing rules in order, the targets of balancing rules, and each tier's queues for rules ``by_tier``.

    A tier has a queue for each resource class of kinds: the same one, or another for asynchronous kinds. The rows are
    shared and must not be changed.
    """

    rules: Sequence[RoutingRule]
    targets: Mapping[int, Sequence[RoutingTarget]]
    tier_queues: Mapping[str, Mapping[str, Queue]]


def read_routes() -> RouteTable:
    """Read the current rules from the database, in one statement."""
    return _routes_of(_read())


def cached_routes() -> RouteTable:
    """Return the rules from the cache, at most a second old."""
    # The key stands for the form of the document, because processes of two releases share the cache.
    return _kept.get("by_class", _read)


def _read() -> Mapping[str, Any]:
    document: Mapping[str, Any] = fetch_one(_ROUTES, row_factory=scalar_row)
    return document


def _routes_of(document: Mapping[str, Any]) -> RouteTable:
    pools = {pool.pk: pool for pool in rows_of_json(WorkerPool, document["pools"])}
    queues = {queue.pk: queue for queue in rows_of_json(Queue, document["queues"])}
    for queue in queues.values():
        queue.pool = pools[queue.pool_id]
    rules = rows_of_json(RoutingRule, document["rules"])
    targets: dict[int, list[RoutingTarget]] = {rule.pk: [] for rule in rules if rule.balance}
    for target in rows_of_json(RoutingTarget, document["targets"]):
        target.queue = queues[target.queue_id]
        targets[target.rule_id].append(target)
    for rule in rules:
        if rule.queue_id is not None:
            rule.queue = queues[rule.queue_id]
    of_tiers = {tier: {name: queues[pk] for name, pk in row.items()} for tier, row in document["tiers"].items()}
    return RouteTable(rules, targets, of_tiers)


_kept = SharedCache("routes", _routes_of)


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """Whether a rule matches a job; ``because`` has the reason if it does not, and is empty if it does."""

    rule: RoutingRule
    because: str

    @property
    def matches(self) -> bool:
        return not self.because


@dataclass(frozen=True, slots=True)
class Routes:
    """The routing rules as they apply to jobs of one tier that are submitted together."""

    tier_id: str
    rules: Sequence[RoutingRule]
    tier_queues: Mapping[str, Queue]
    targets: Mapping[int, Sequence[RoutingTarget]]
    spread: Spread = field(default_factory=Spread)
    # Default queues of kinds, as far as they were looked up.
    defaults: dict[str, Queue | None] = field(default_factory=dict)

    @classmethod
    def load(cls, tier_id: str) -> Self:
        """Return the routes of one tier by the cached rules, at most a second old, with current loads of the queues."""
        return cls.of(cached_routes(), tier_id)

    @classmethod
    def of(cls, known: RouteTable, tier_id: str) -> Self:
        """Return the routes of one tier by these rules, with current loads of the queues."""
        return cls(tier_id, known.rules, known.tier_queues.get(tier_id, {}), known.targets, _new_spread(known.rules))

    @classmethod
    def load_all(cls) -> Mapping[str, Self]:
        """Return the routes of every tier that the active CFS plan names, by the tier's id."""
        known = read_routes()
        spread = _new_spread(known.rules)
        return {
            tier_id: cls(tier_id, known.rules, queues, known.targets, spread)
            for tier_id, queues in known.tier_queues.items()
        }

    def queue_for(self, kind: str, payload: Mapping[str, Any], requested: str | None) -> Queue:
        """Return the queue for a job; ``requested`` is the queue that the tenant requests, or None.

        Raise QueueNotAllowedError if the rules do not allow the requested queue, and RouteMissingError if there is
        none.
        """
        rule = self._first_match(kind, payload)
        if requested is None:
            return self._balanced(rule, kind)
        choices = {q.name: q for q in self._queues_of(kind)} if rule.allows_queue_choice else {}
        own = {q.name: q for q in self._targets_for(rule, kind)}
        if requested not in own | choices:
            allowed = ", ".join(sorted(choices | own))
            raise QueueNotAllowedError("%(kind)s may go to: %(allowed)s.", {"kind": kind, "allowed": allowed})
        return (own | choices)[requested]

    def better_queue(self, kind: str, payload: Mapping[str, Any], queue_id: int) -> Queue | None:
        """Return the queue to which a waiting job in the queue ``queue_id`` should move by the current rules.

        Return None if it may stay, or if no rule gives a queue.
        """
        try:
            rule = self._first_match(kind, payload)
            allowed = [*self._targets_for(rule, kind), *(self._queues_of(kind) if rule.allows_queue_choice else ())]
        except RouteMissingError:
            return None
        return None if any(queue.pk == queue_id for queue in allowed) else self._balanced(rule, kind)

    def choices(self, kind: str, payload: Mapping[str, Any]) -> list[str]:
        """Return the names of all queues that such a job may go to, sorted: by the rule, or by the tenant's choice."""
        try:
            rule = self._first_match(kind, payload)
            queues = [*self._targets_for(rule, kind), *(self._queues_of(kind) if rule.allows_queue_choice else ())]
        except RouteMissingError:
            return []
        return sorted({queue.name for queue in queues})

    def trace(self, kind: str, payload: Mapping[str, Any]) -> list[RuleMatch]:
        """Return for each rule whether it matches, up to and including the first rule that does."""
        rule_matches = []
        for rule in self.rules:
            rule_matches.append(RuleMatch(rule, self._objection(rule, kind, payload)))
            if rule_matches[-1].matches:
                break
        return rule_matches

    def depends_on_payload(self, kind: str) -> bool:
        """Return whether any rule that may apply to the kind has a condition on the payload."""
        return any(rule.condition and rule.kind in ("", kind) for rule in self.rules)

    def _first_match(self, kind: str, payload: Mapping[str, Any]) -> RoutingRule:
        for rule in self.rules:
            if self._matches(rule, kind, payload):
                return rule
        raise RouteMissingError("No active routing rule matches %(kind)s.", {"kind": kind})

    def _matches(self, rule: RoutingRule, kind: str, payload: Mapping[str, Any]) -> bool:
        """Return whether the rule matches, without describing an objection."""
        return (
            rule.kind in ("", kind)
            and rule.tier_id in (None, self.tier_id)
            and (not rule.condition or failing_condition(rule.condition, payload) is None)
        )

    def _objection(self, rule: RoutingRule, kind: str, payload: Mapping[str, Any]) -> str:
        if rule.kind not in ("", kind):
            return gettext("it is for the kind %(kind)s") % {"kind": rule.kind}
        if rule.tier_id not in (None, self.tier_id):
            return gettext("it is for the tier %(tier)s") % {"tier": rule.tier_id}
        failing = failing_condition(rule.condition, payload)
        return (
            ""
            if failing is None
            else gettext("the payload does not meet %(condition)s") % {"condition": describe_condition(failing)}
        )

    def _targets_for(self, rule: RoutingRule, kind: str) -> Sequence[Queue]:
        """Return the rule's queues, or the kind's default queue if the rule is not about the kind."""
        name = "" if rule.kind else registry.default_queue(kind)
        if not name:
            return self._targets(rule, kind)
        if name not in self.defaults:
            self.defaults[name] = Queue.objects.filter(name=name).first()
        if (queue := self.defaults[name]) is None:
            raise RouteMissingError(
                "The default queue %(name)s of %(kind)s does not exist.", {"kind": kind, "name": name}
            )
        return [queue]

    def _targets(self, rule: RoutingRule, kind: str) -> Sequence[Queue]:
        if rule.balance:
            queues = [target.queue for target in self.targets[rule.pk]]
        elif rule.by_tier:
            queues = [self.tier_queues[registry.resource_class(kind)]] if self.tier_queues else []
        else:
            queues = [rule.queue] if rule.queue is not None else []
        if not queues:
            names = (
                gettext("the tier %(tier)s") % {"tier": self.tier_id}
                if rule.by_tier
                else gettext("the rule at %(position)s") % {"position": rule.position}
            )
            raise RouteMissingError("There is no queue for %(names)s.", {"names": names})
        return queues

    def _balanced(self, rule: RoutingRule, kind: str) -> Queue:
        queues = {queue.pk: queue for queue in self._targets_for(rule, kind)}
        if not rule.balance or (not rule.kind and registry.default_queue(kind)):
            return next(iter(queues.values()))
        targets = [
            BalanceTarget(row.queue_id, row.weight, max(1, int(row.queue.expected_seconds * 1_000_000)))
            for row in self.targets[rule.pk]
        ]
        choose = self.spread.by_weight if rule.balance == RoutingRule.Balance.WEIGHTED else self.spread.by_load
        return queues[choose(targets)]

    def _queues_of(self, kind: str) -> list[Queue]:
        rules = [rule for rule in self.rules if rule.kind == kind]
        named = [rule.queue for rule in rules if rule.queue is not None]
        return named + [target.queue for rule in rules if rule.balance for target in self.targets[rule.pk]]


def _new_spread(rules: Sequence[RoutingRule]) -> Spread:
    if not any(rule.balance for rule in rules):
        return Spread()
    loads = read_loads()
    # One seed a batch: single jobs are distributed by chance, those of a batch evenly.
    return Spread(seed=uuid7().int % 2**32 / 2**32, loads=loads.by_queue, sent_us=loads.sent_us)


def refuse_too_large(kind: str, queue: Queue) -> None:
    """Raise MemoryClassError if the kind needs more memory than a process of the queue's pool has."""
    need = registry.memory_needs().get(kind, 0)
    if need and need > queue.pool.memory_mib:
        raise MemoryClassError(
            "%(kind)s may need %(need)s MiB; a worker process of queue %(queue)s has %(memory)s MiB. "
            "Route it to a pool of a larger memory class.",
            {"kind": kind, "need": f"{need:,}", "queue": queue.name, "memory": f"{queue.pool.memory_mib:,}"},
        )


def kinds_beyond(pool: WorkerPool) -> list[str]:
    """Return the kinds that need more memory than a process of the pool has."""
    return [kind for kind, need in registry.memory_needs().items() if need > pool.memory_mib]
