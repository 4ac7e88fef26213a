"""Editing where jobs run: queues, pools and routing rules. Audited; the dispatcher is woken where its picks change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from scheduling.models import Queue, RoutingRule, WorkerPool
from scheduling.services.routing import OPERATORS
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.services.audit import record_audit
from tenants.services.changes import assign

QUEUE_FIELDS = (
    "description",
    "weight",
    "cap",
    "dispatches_per_minute",
    "dispatch_burst",
    "resource_class",
    "expected_seconds",
)
POOL_FIELDS = ("description", "memory_mib")
RULE_FIELDS = ("position", "kind", "tier", "condition", "queue", "by_tier", "allows_queue_choice", "is_active")
_CONDITION_KEYS = {"field", "op", "value"}


def update_queue(*, queue: Queue, changes: Mapping[str, Any], reason: str = "") -> Queue:
    """Change a queue's weight, cap, rate or description; the next tick reads them. Pausing has a service of its own."""
    return _update(Queue.objects, queue, _only(changes, QUEUE_FIELDS), action="queue.changed", reason=reason)


def update_worker_pool(*, pool: WorkerPool, changes: Mapping[str, Any], reason: str = "") -> WorkerPool:
    """Change a pool's description and memory class; jobs that need more than it has by now are set aside."""
    return _update(WorkerPool.objects, pool, _only(changes, POOL_FIELDS), action="worker_pool.changed", reason=reason)


def create_routing_rule(*, values: Mapping[str, Any], reason: str = "") -> RoutingRule:
    """Add a rule; jobs submitted from now on are asked it at its position."""
    with all_tenants():
        rule = RoutingRule()
        difference = assign(rule, _only(values, RULE_FIELDS))
        _check_rule(rule)
        rule.save(force_insert=True)
        record_audit(action="routing_rule.created", target=rule, after=difference.after, reason=reason)
    return rule


def update_routing_rule(*, rule: RoutingRule, changes: Mapping[str, Any], reason: str = "") -> RoutingRule:
    """Change a rule; jobs that wait already stay where they were sent."""
    with all_tenants():
        row = RoutingRule.objects.select_for_update().get(pk=rule.pk)
        difference = assign(row, _only(changes, RULE_FIELDS))
        if difference:
            _check_rule(row)
            row.save()
            record_audit(
                action="routing_rule.changed",
                target=row,
                before=difference.before,
                after=difference.after,
                reason=reason,
            )
    return row


def check_condition(condition: Any) -> None:
    """A `FieldInvalidError` unless the condition is one that submission can evaluate."""
    if condition is None:
        return
    if not isinstance(condition, Mapping) or set(condition) != _CONDITION_KEYS:
        raise FieldInvalidError("condition: give exactly the keys field, op and value.")
    if not isinstance(condition["field"], str) or not condition["field"]:
        raise FieldInvalidError("condition: field names a place in the payload, such as pages or source.type.")
    if condition["op"] not in OPERATORS:
        raise FieldInvalidError(f"condition: op is one of {', '.join(OPERATORS)}.")
    if condition["op"] == "in" and not isinstance(condition["value"], list):
        raise FieldInvalidError("condition: value is a list where op is “in”.")


def _check_rule(rule: RoutingRule) -> None:
    check_condition(rule.condition)
    try:
        rule.validate_unique()
        rule.validate_constraints()
    except ValidationError as error:
        raise FieldInvalidError(" ".join(error.messages)) from error


def _update[RowT: models.Model](
    rows: models.Manager[RowT],
    row: RowT,
    changes: Mapping[str, Any],
    *,
    action: str,
    reason: str,
) -> RowT:
    with all_tenants():
        current = rows.select_for_update().get(pk=row.pk)
        difference = assign(current, changes)
        if difference:
            current.save(update_fields=list(changes))
            record_audit(action=action, target=current, before=difference.before, after=difference.after, reason=reason)
            wake_on_commit()
    return current


def _only(values: Mapping[str, Any], editable: tuple[str, ...]) -> dict[str, Any]:
    foreign = sorted(set(values) - set(editable))
    if foreign:
        raise FieldInvalidError(f"{foreign[0]}: cannot be edited.")
    return dict(values)
