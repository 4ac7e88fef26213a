"""Which queue a job goes to: the first rule that matches, or the queue that its tier means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Self

from scheduling.exceptions import QueueNotAllowedError, RouteMissingError
from scheduling.models import CFSPlanTier, Queue, RoutingRule

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "gt": gt,
    "ge": ge,
    "in": lambda value, choices: value in choices,
    "exists": lambda value, expected: (value is not None) is bool(expected),
}
OPERATORS = tuple(_COMPARISONS)


def condition_holds(condition: Mapping[str, Any] | None, payload: Mapping[str, Any]) -> bool:
    """Whether ``{"field": "a.b", "op": …, "value": …}`` holds for the payload.

    A field that is missing, or of a type that does not compare, fulfils no condition but
    ``exists: false`` and ``ne``.
    """
    if not condition:
        return True
    value: Any = payload
    for name in str(condition["field"]).split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    try:
        return bool(_COMPARISONS[condition["op"]](value, condition["value"]))
    except TypeError:
        return False


@dataclass(frozen=True, slots=True)
class Routes:
    """The routing rules as they are now, for the tenants of one tier."""

    tier_id: str
    rules: Sequence[RoutingRule]
    tier_queue: Queue | None

    @classmethod
    def load(cls, tier_id: str) -> Self:
        """Read the rules and the tier's queue under the active CFS plan: two queries."""
        rules = list(RoutingRule.objects.filter(is_active=True).select_related("queue"))
        tier_row = CFSPlanTier.objects.filter(plan__is_active=True, tier_id=tier_id).select_related("queue").first()
        return cls(tier_id, rules, tier_row.queue if tier_row else None)

    def queue_for(self, kind: str, payload: Mapping[str, Any], requested: str | None) -> Queue:
        """The queue for a job; ``requested`` is honoured only where the rule allows it."""
        rule = self._first_match(kind, payload)
        queue = self._target(rule)
        if requested is None or requested == queue.name:
            return queue
        choices = {q.name: q for q in self._queues_of(kind)} if rule.allows_queue_choice else {}
        if requested not in choices:
            allowed = ", ".join(sorted(choices or {queue.name: queue}))
            raise QueueNotAllowedError(f"{kind} may go to: {allowed}.")
        return choices[requested]

    def _first_match(self, kind: str, payload: Mapping[str, Any]) -> RoutingRule:
        for rule in self.rules:
            if (
                rule.kind in ("", kind)
                and rule.tier_id in (None, self.tier_id)
                and condition_holds(rule.condition, payload)
            ):
                return rule
        raise RouteMissingError(f"No active routing rule matches {kind}.")

    def _target(self, rule: RoutingRule) -> Queue:
        queue = self.tier_queue if rule.by_tier else rule.queue
        if queue is None:
            raise RouteMissingError(f"The active CFS plan names no queue for the tier {self.tier_id}.")
        return queue

    def _queues_of(self, kind: str) -> list[Queue]:
        return [rule.queue for rule in self.rules if rule.kind == kind and rule.queue is not None]
