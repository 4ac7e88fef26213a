"""Editing where jobs run: queues, pools and routing rules. Audited; the dispatcher is woken where its picks change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from scheduling.models import Queue, RoutingRule, RoutingTarget, WorkerPool
from scheduling.services.conditions import check_condition
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.services.audit import record_audit
from tenants.services.changes import Difference, assign

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
MAX_WEIGHT = 1_000
RULE_FIELDS = (
    "position",
    "kind",
    "tier",
    "condition",
    "queue",
    "by_tier",
    "balance",
    "allows_queue_choice",
    "is_active",
)


def update_queue(*, queue: Queue, changes: Mapping[str, Any], reason: str = "") -> Queue:
    """Change a queue's weight, cap, rate or description; the next tick reads them. Pausing has a service of its own."""
    return _update(Queue.objects, queue, _only(changes, QUEUE_FIELDS), action="queue.changed", reason=reason)


def update_worker_pool(*, pool: WorkerPool, changes: Mapping[str, Any], reason: str = "") -> WorkerPool:
    """Change a pool's description and memory class; jobs that need more than it has by now are set aside."""
    return _update(WorkerPool.objects, pool, _only(changes, POOL_FIELDS), action="worker_pool.changed", reason=reason)


def create_routing_rule(
    *, values: Mapping[str, Any], targets: Mapping[int, int] | None = None, reason: str = ""
) -> RoutingRule:
    """Add a rule; jobs submitted from now on are asked it. ``targets`` are the weights of its queues by their ids."""
    with all_tenants():
        rule = RoutingRule()
        difference = assign(rule, _only(values, RULE_FIELDS))
        _check_rule(rule, targets or {})
        rule.save(force_insert=True)
        of_targets = _write_targets(rule, targets or {})
        record_audit(
            action="routing_rule.created", target=rule, after={**difference.after, **of_targets.after}, reason=reason
        )
    return rule


def update_routing_rule(
    *, rule: RoutingRule, changes: Mapping[str, Any], targets: Mapping[int, int] | None = None, reason: str = ""
) -> RoutingRule:
    """Change a rule, and if ``targets`` is given its queues; what waits stays until `move_backlog` is asked for."""
    with all_tenants():
        row = RoutingRule.objects.select_for_update().get(pk=rule.pk)
        difference = assign(row, _only(changes, RULE_FIELDS))
        kept = dict(row.targets.values_list("queue_id", "weight"))
        _check_rule(row, kept if targets is None else targets)
        if difference:
            row.save()
        if targets is not None and targets != kept:
            of_targets = _write_targets(row, targets)
            difference = Difference(
                {**difference.before, **of_targets.before}, {**difference.after, **of_targets.after}
            )
        if difference:
            record_audit(
                action="routing_rule.changed",
                target=row,
                before=difference.before,
                after=difference.after,
                reason=reason,
            )
    return row


def _write_targets(rule: RoutingRule, targets: Mapping[int, int]) -> Difference:
    before = dict(rule.targets.values_list("queue__name", "weight"))
    rule.targets.all().delete()
    RoutingTarget.objects.bulk_create(
        RoutingTarget(rule=rule, queue_id=queue_id, weight=weight) for queue_id, weight in targets.items()
    )
    after = dict(rule.targets.values_list("queue__name", "weight"))
    return Difference({"targets": before}, {"targets": after}) if before != after else Difference({}, {})


def _check_rule(rule: RoutingRule, targets: Mapping[int, int]) -> None:
    check_condition(rule.condition)
    if rule.balance and not targets:
        raise FieldInvalidError("balance: name at least one queue to spread the jobs over.")
    if targets and not rule.balance:
        raise FieldInvalidError("balance: say how the jobs are spread over the queues.")
    if any(not 1 <= weight <= MAX_WEIGHT for weight in targets.values()):
        raise FieldInvalidError(f"weight: it must lie between 1 and {MAX_WEIGHT}.")
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
