"""Services that add and edit queues, worker pools and routing rules.

They write the audit log, and wake the dispatcher if the change affects what it dispatches next.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext

from scheduling.dispatch.broker import wake_on_commit
from scheduling.jobs.routing.conditions import check_condition
from scheduling.jobs.routing.resources import queues_offering
from scheduling.jobs.routing.strategies import check_balance
from scheduling.models import PoolClock, Queue, QueueClock, RoutingRule, RoutingTarget, WorkerPool
from scheduling.regions.service import follow_region
from scheduling.topology.resources import check_pool_class, with_needs, with_offers
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.changes import Difference, assign

QUEUE_FIELDS = (
    "description",
    "weight",
    "cap",
    "dispatches_per_minute",
    "dispatch_burst",
    "needs",
    "expected_seconds",
)
POOL_FIELDS = ("description", "region", "memory_mib", "resource_class", "offers", "rate_milli")
MAX_WEIGHT = 1_000
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?", re.ASCII)
# Keys of the broker itself; queues are keys by name too.
_RESERVED_NAMES = frozenset({"unacked", "unacked_index", "unacked_mutex"})
RULE_FIELDS = (
    "position",
    "kind",
    "tier",
    "region",
    "condition",
    "queue",
    "by_tier",
    "balance",
    "allows_queue_choice",
    "is_active",
)


def create_worker_pool(*, name: str, values: Mapping[str, Any] | None = None, reason: str = "") -> WorkerPool:
    """Add a pool. Dispatchers serve it within a second; it has no workers until some are started with its name."""
    with all_tenants():
        pool = WorkerPool()
        given = with_offers(pool, _only(values or {}, POOL_FIELDS))
        assign(pool, {"name": check_new_name(name), **given})
        _insert(pool, "worker pool")
        PoolClock.objects.create(pool=pool)
        record_audit(
            action="worker_pool.created", target=pool, after=_values_of(pool, ("name", *POOL_FIELDS)), reason=reason
        )
    return pool


def create_queue(
    *, name: str, pool: WorkerPool | str, values: Mapping[str, Any] | None = None, reason: str = ""
) -> Queue:
    """Add a queue to a pool, given as a row or by name; the pool's workers consume it from their next heartbeat on.

    It gets no jobs until a routing rule or a tier row of the active plan names it. Raise FieldInvalidError if the pool
    does not offer what the queue needs.
    """
    with all_tenants():
        queue = Queue(pool=_find_pool(pool))
        given = with_needs(queue.pool_id, _queue_values(values or {}))
        assign(queue, {"name": check_new_name(name), **given})
        _insert(queue, "queue")
        QueueClock.objects.create(queue=queue)
        after = {"pool": queue.pool.name, **_values_of(queue, ("name", *QUEUE_FIELDS))}
        record_audit(action="queue.created", target=queue, after=after, reason=reason)
    return queue


def check_new_name(name: str) -> str:
    """Return `name` if it is a valid name for a queue or pool; raise FieldInvalidError if not."""
    if not _NAME.fullmatch(name):
        raise FieldInvalidError.at(
            "name",
            gettext(
                "Use lower-case letters, digits, hyphens and underscores; the first and the last character "
                "must be a letter or a digit."
            ),
        )
    if name in _RESERVED_NAMES:
        raise FieldInvalidError.at("name", gettext("The broker reserves this name."))
    return name


def update_queue(*, queue: Queue, changes: Mapping[str, Any], reason: str = "") -> Queue:
    """Change a queue's weight, cap, rate, needs or description; the next tick uses the new values."""
    values: Mapping[str, Any] = _queue_values(changes)
    with all_tenants():
        if "needs" in values:
            values = with_needs(queue.pool_id, values)
        return _update(Queue.objects, queue, values, action="queue.changed", reason=reason)


def update_worker_pool(*, pool: WorkerPool, changes: Mapping[str, Any], reason: str = "") -> WorkerPool:
    """Change a pool's description, region, memory class, resource class, offers and rate.

    Jobs that need more memory than the pool now has are not dispatched. The resource class cannot be changed while
    workers run, or queues are used, that need the old one, an offer while a queue needs it, and the region while the
    pool has workers or jobs in flight; a new rate applies to jobs that are dispatched from now on.
    """
    if "resource_class" in changes:
        check_pool_class(pool, changes["resource_class"])
    with all_tenants():
        locked = WorkerPool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        if changes.get("region", locked.region) != locked.region:
            follow_region(locked)
        values = with_offers(locked, _only(changes, POOL_FIELDS))
        return _update(WorkerPool.objects, pool, values, action="worker_pool.changed", reason=reason)


def create_routing_rule(
    *, values: Mapping[str, Any], targets: Mapping[int, int] | None = None, reason: str = ""
) -> RoutingRule:
    """Add a routing rule, which applies to jobs submitted from now on.

    ``targets`` maps ids of its queues to weights.
    """
    with all_tenants():
        rule = RoutingRule()
        difference = assign(rule, _only(values, RULE_FIELDS))
        check_balance(rule.balance)
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
    """Change a routing rule, and its queues if ``targets`` is given.

    Jobs that wait already stay in their queues until a reroute moves them.
    """
    with all_tenants():
        row = RoutingRule.objects.select_for_update(no_key=True).get(pk=rule.pk)
        difference = assign(row, _only(changes, RULE_FIELDS))
        if "balance" in difference.after:
            check_balance(row.balance)
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


def _find_pool(pool: WorkerPool | str) -> WorkerPool:
    if isinstance(pool, WorkerPool):
        return pool
    found = WorkerPool.objects.filter(name=pool).first()
    if found is None:
        known = ", ".join(WorkerPool.objects.values_list("name", flat=True))
        raise FieldInvalidError.at(
            "pool", gettext("There is no worker pool %(pool)r; there are: %(known)s.") % {"pool": pool, "known": known}
        )
    return found


def _insert(row: Queue | WorkerPool, noun: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        # Only the name is unique.
        raise FieldInvalidError.at(
            "name", gettext("A %(noun)s named %(name)r already exists.") % {"noun": gettext(noun), "name": row.name}
        ) from error


def _values_of(row: models.Model, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}


def _write_targets(rule: RoutingRule, targets: Mapping[int, int]) -> Difference:
    before = dict(rule.targets.values_list("queue__name", "weight"))
    # A queue keeps its row: forms rendered before still name it.
    rule.targets.exclude(queue__in=targets).delete()
    RoutingTarget.objects.bulk_create(
        [RoutingTarget(rule=rule, queue_id=queue_id, weight=weight) for queue_id, weight in targets.items()],
        update_conflicts=True,
        unique_fields=["rule", "queue"],
        update_fields=["weight"],
    )
    after = dict(rule.targets.values_list("queue__name", "weight"))
    return Difference({"targets": before}, {"targets": after}) if before != after else Difference({}, {})


def _check_rule(rule: RoutingRule, targets: Mapping[int, int]) -> None:
    check_condition(rule.condition)
    if rule.balance and not targets:
        raise FieldInvalidError("balance: name at least one queue to spread the jobs over.")
    if targets and not rule.balance:
        raise FieldInvalidError("balance: set how the jobs are spread over the queues.")
    if any(not 1 <= weight <= MAX_WEIGHT for weight in targets.values()):
        raise FieldInvalidError("weight: it must lie between 1 and %(greatest)s.", {"greatest": MAX_WEIGHT})
    named = [*targets] if rule.queue_id is None else [rule.queue_id]
    if rule.is_active and rule.kind and named:
        queues_offering(rule.kind, list(Queue.objects.select_related("pool").filter(pk__in=named)))
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
        current = rows.select_for_update(no_key=True).get(pk=row.pk)
        difference = assign(current, changes)
        if difference:
            current.save(update_fields=list(changes))
            record_audit(action=action, target=current, before=difference.before, after=difference.after, reason=reason)
            wake_on_commit()
    return current


def _only(values: Mapping[str, Any], editable: tuple[str, ...]) -> dict[str, Any]:
    foreign = sorted(set(values) - set(editable))
    if foreign:
        raise FieldInvalidError("%(name)s: cannot be edited.", {"name": foreign[0]})
    return dict(values)


def _queue_values(values: Mapping[str, Any]) -> dict[str, Any]:
    checked = _only(values, QUEUE_FIELDS)
    seconds = checked.get("expected_seconds")
    if isinstance(seconds, float) and math.isnan(seconds):
        # NaN passes the bounds, because every comparison with it is false.
        raise FieldInvalidError.at("expected_seconds", gettext("It must be a number."))
    return checked
