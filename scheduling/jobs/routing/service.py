"""The choice of a job's queue: the first rule that matches names it, or the queues to balance over.

Of these queues only those count whose pools offer what the kind needs, in allowed regions. Rules may be a second old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from django.utils.translation import gettext
from psycopg.rows import scalar_row

from scheduling.exceptions import QueueNotAllowedError, RouteMissingError
from scheduling.jobs.routing.balancing import Balancer, Routed, is_strategy, job_for_strategies
from scheduling.jobs.routing.conditions import describe_condition, failing_condition
from scheduling.jobs.routing.resources import UNROUTABLE, queues_offering
from scheduling.kit import registry
from scheduling.kit.routing import RoutedJob
from scheduling.models import Queue, RoutingRule, RoutingTarget, WorkerPool
from scheduling.regions.exceptions import RegionNotAllowedError
from scheduling.regions.queries import residency_of
from scheduling.regions.rules import ANYWHERE, Residency
from tenants.cache.shared_cache import SharedCache
from tenants.database.prepared import fetch_one
from tenants.database.rows import rows_of_json
from tenants.database.sql import load_sql
from tenants.models import Tenant

_ROUTES = load_sql(__file__)["read_routes"]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routing rules in order, the targets of balancing rules, and each tier's queues for rules ``by_tier``.

    A tier has, for tenants of a home region or of none (""), a queue for each resource class of kinds: the same one, or
    another for asynchronous kinds. The rows are shared and must not be changed.
    """

    rules: Sequence[RoutingRule]
    targets: Mapping[int, Sequence[RoutingTarget]]
    tier_queues: Mapping[str, Mapping[str, Mapping[str, Queue]]]


def read_routes() -> RouteTable:
    """Read the current rules from the database, in one statement."""
    return _routes_of(_read())


def cached_routes() -> RouteTable:
    """Return the rules from the cache, at most a second old."""
    # The key stands for the form of the document, because processes of two releases share the cache.
    return _kept.get("by_offer", _read)


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
    of_tiers = {
        tier: {region: {name: queues[pk] for name, pk in row.items()} for region, row in regions.items()}
        for tier, regions in document["tiers"].items()
    }
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
    """The routing rules as they apply to jobs of one tier that are submitted together, in the regions of a tenant."""

    tier_id: str
    rules: Sequence[RoutingRule]
    tier_queues: Mapping[str, Mapping[str, Queue]]
    targets: Mapping[int, Sequence[RoutingTarget]]
    balancer: Balancer = field(default_factory=Balancer)
    # Default queues of kinds, as far as they were looked up.
    defaults: dict[str, Queue | None] = field(default_factory=dict)
    residency: Residency = ANYWHERE

    @classmethod
    def of_tenant(cls, tenant: Tenant) -> Self:
        """Return the routes of a tenant by the cached rules, at most a second old, with current loads of the queues."""
        return cls.load(tenant.plan.tier_id).within(residency_of(tenant))

    @classmethod
    def load(cls, tier_id: str) -> Self:
        """Return the routes of one tier by the cached rules, at most a second old, with current loads of the queues."""
        return cls.of(cached_routes(), tier_id)

    @classmethod
    def of(cls, known: RouteTable, tier_id: str) -> Self:
        """Return the routes of one tier by these rules, with current loads of the queues."""
        return cls(tier_id, known.rules, known.tier_queues.get(tier_id, {}), known.targets, _balancer_of(known))

    @classmethod
    def load_all(cls) -> Mapping[str, Self]:
        """Return the routes of every tier that the active CFS plan names, by the tier's id."""
        known = read_routes()
        balancer = _balancer_of(known)
        return {
            tier_id: cls(tier_id, known.rules, queues, known.targets, balancer)
            for tier_id, queues in known.tier_queues.items()
        }

    def within(self, residency: Residency) -> Self:
        """Return these routes in the regions of a tenant."""
        return self if residency == self.residency else replace(self, residency=residency)

    def queue_for(
        self, kind: str, payload: Mapping[str, Any], requested: str | None, tags: Sequence[str] = ()
    ) -> Queue:
        """Return the queue for a job, as `route` does."""
        return self.route(kind, payload, requested, tags).queue

    def route(self, kind: str, payload: Mapping[str, Any], requested: str | None, tags: Sequence[str] = ()) -> Routed:
        """Return the queue for a job, with the reason of a strategy; ``requested`` is the tenant's choice, or None.

        Raise QueueNotAllowedError if the rules do not allow the requested queue, RouteMissingError if there is none,
        ResourceNotOfferedError and RegionNotAllowedError if none offers what the kind needs, or is in allowed regions.
        """
        rule = self._first_match(kind, payload)
        if requested is None:
            has_strategy = rule.balance and is_strategy(rule.balance)
            job = job_for_strategies(kind, self.tier_id, self.residency, payload, tags) if has_strategy else None
            return self._balanced(rule, kind, job)
        choices = {q.name: q for q in self._queues_of(kind)} if rule.allows_queue_choice else {}
        named = choices | {q.name: q for q in self._named_for(rule, kind)}
        if requested not in named:
            allowed = ", ".join(sorted(named))
            raise QueueNotAllowedError("%(kind)s may go to: %(allowed)s.", {"kind": kind, "allowed": allowed})
        return Routed(self._inside([named[requested]], kind)[0])

    def better_queue(self, kind: str, payload: Mapping[str, Any], queue_id: int) -> Queue | None:
        """Return the queue to which a waiting job in the queue ``queue_id`` should move by the current rules.

        Return None if it may stay, or if no rule gives a queue. No strategy is called: a dispatcher must not wait for
        one.
        """
        try:
            rule = self._first_match(kind, payload)
            allowed = self._all_for(rule, kind)
        except UNROUTABLE:
            return None
        return None if any(queue.pk == queue_id for queue in allowed) else self._balanced(rule, kind, None).queue

    def choices(self, kind: str, payload: Mapping[str, Any]) -> list[str]:
        """Return the names of all queues that such a job may go to, sorted: by the rule, or by the tenant's choice."""
        try:
            queues = self._all_for(self._first_match(kind, payload), kind)
        except UNROUTABLE:
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
            and rule.region in ("", self.residency.home)
            and (not rule.condition or failing_condition(rule.condition, payload) is None)
        )

    def _objection(self, rule: RoutingRule, kind: str, payload: Mapping[str, Any]) -> str:
        if rule.kind not in ("", kind):
            return gettext("it is for the kind %(kind)s") % {"kind": rule.kind}
        if rule.tier_id not in (None, self.tier_id):
            return gettext("it is for the tier %(tier)s") % {"tier": rule.tier_id}
        if rule.region not in ("", self.residency.home):
            return gettext("it is for the home region %(region)s") % {"region": rule.region}
        failing = failing_condition(rule.condition, payload)
        return (
            ""
            if failing is None
            else gettext("the payload does not meet %(condition)s") % {"condition": describe_condition(failing)}
        )

    def _all_for(self, rule: RoutingRule, kind: str) -> Sequence[Queue]:
        """Return all queues in allowed regions that a job may be in by the rule, or by the tenant's choice."""
        choices = self._queues_of(kind) if rule.allows_queue_choice else []
        return self._inside([*self._named_for(rule, kind), *choices], kind)

    def _inside(self, queues: Sequence[Queue], kind: str) -> Sequence[Queue]:
        """Return the queues whose pools offer what the kind needs, in regions that the tenant allows; or raise."""
        queues = queues_offering(kind, queues)
        inside = [queue for queue in queues if self.residency.allows(queue.pool.region)]
        if not inside:
            found = {f"{queue.name} ({queue.pool.region or gettext('no region')})" for queue in queues}
            values = {"allowed": ", ".join(self.residency.allowed), "kind": kind, "queues": ", ".join(sorted(found))}
            raise RegionNotAllowedError(
                "The tenant allows the regions %(allowed)s, and the routing rules send %(kind)s to: %(queues)s. Ask "
                "the platform for a queue in an allowed region, or to allow another region.",
                values,
            )
        return inside

    def _named_for(self, rule: RoutingRule, kind: str) -> Sequence[Queue]:
        """Return the rule's queues, or the kind's default queue if the rule is not about the kind."""
        name = "" if rule.kind else registry.default_queue(kind)
        if not name:
            return self._targets(rule, kind)
        if name not in self.defaults:
            self.defaults[name] = Queue.objects.select_related("pool").filter(name=name).first()
        if (queue := self.defaults[name]) is None:
            raise RouteMissingError(
                "The default queue %(name)s of %(kind)s does not exist.", {"kind": kind, "name": name}
            )
        return [queue]

    def _targets(self, rule: RoutingRule, kind: str) -> Sequence[Queue]:
        if rule.balance:
            queues = [target.queue for target in self.targets[rule.pk]]
        elif rule.by_tier:
            row = self.tier_queues.get(self.residency.home) or self.tier_queues.get("")
            queues = [row[registry.resource_class(kind)]] if row else []
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

    def _balanced(self, rule: RoutingRule, kind: str, job: RoutedJob | None) -> Routed:
        queues = {queue.pk: queue for queue in self._inside(self._named_for(rule, kind), kind)}
        if not rule.balance or (not rule.kind and registry.default_queue(kind)):
            return Routed(next(iter(queues.values())))
        rows = [row for row in self.targets[rule.pk] if row.queue_id in queues]
        return self.balancer.choose(rule.balance, rows, self.residency, job)

    def _queues_of(self, kind: str) -> list[Queue]:
        rules = [rule for rule in self.rules if rule.kind == kind]
        named = [rule.queue for rule in rules if rule.queue is not None]
        return named + [target.queue for rule in rules if rule.balance for target in self.targets[rule.pk]]


def _balancer_of(known: RouteTable) -> Balancer:
    """Return a balancer, with the loads of the queues if any rule needs them."""
    return Balancer.load() if known.targets else Balancer()
