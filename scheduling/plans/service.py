"""Services that create, change and activate CFS plans; a change takes effect with the dispatcher's next tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.core.exceptions import ValidationError

from scheduling.bulk.reroute import request_reroute
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import CFSPlanInvalidError, CFSPlanNotFoundError
from scheduling.models import CFSPlan, CFSPlanTier, CFSPlanVersion, Queue, WorkerPool
from scheduling.plans.models import tier_key
from scheduling.plans.queries import get_cfs_plan
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.reads import first_or_raise
from tenants.exceptions import PlanContentInvalidError
from tenants.models import Tier
from tenants.versions.hooks import Content
from tenants.versions.service import Versioned

EDITABLE_FIELDS = ("name", "strategy", "granularity_seconds", "reserved_slots")
MAX_WEIGHT = 1_000


@dataclass(frozen=True, slots=True)
class TierRow:
    """Row of a plan to write: a tier, its queue, its queue of asynchronous kinds, and the weight of each.

    With a region it is for the tenants of that home region.
    """

    tier_id: str
    queue_id: int
    weight: int
    io_queue_id: int | None = None
    region: str = ""

    @property
    def key(self) -> str:
        """Return the name of the row in its plan."""
        return tier_key(self.tier_id, self.region)


def update_cfs_plan(
    *,
    plan: CFSPlan,
    fields: Mapping[str, Any],
    tiers: Sequence[TierRow] | None = None,
    reason: str = "",
    expected_version: int | None = None,
    effective_from: datetime | None = None,
) -> CFSPlanVersion | None:
    """Change a plan's fields, and its tier rows if ``tiers`` is given; return the new version.

    Return None if nothing changes. The dispatcher reads weights and strategy in every tick, so a change of the active
    plan takes effect with the next tick. Raise CFSPlanInvalidError, and PlanChangedError if the plan is not at
    ``expected_version`` any more.
    """
    _refuse_strays(fields)
    rows = None if tiers is None else _describe_tiers(tiers)

    def revise(content: Content) -> Content:
        return content | dict(fields) | ({} if rows is None else {"tiers": rows})

    version = CFS_PLANS.edit(
        plan, revise, reason=reason, expected_version=expected_version, effective_from=effective_from
    )
    return cast("CFSPlanVersion | None", version)


def create_cfs_plan(*, fields: Mapping[str, Any], tiers: Sequence[TierRow], reason: str = "") -> CFSPlan:
    """Create a plan that is not active. Raise CFSPlanInvalidError if it is invalid."""
    _refuse_strays(fields)
    with all_tenants():
        plan = CFSPlan()
        CFS_PLANS.put(plan, dict(fields) | {"tiers": _describe_tiers(tiers)})
        CFS_PLANS.begin(plan, reason=reason)
        record_audit(action="cfs_plan.created", target=plan, after=describe_plan(plan), reason=reason)
    return plan


def activate_cfs_plan(*, plan: CFSPlan, reason: str = "") -> CFSPlan:
    """Activate a plan instead of the active one. Raise CFSPlanInvalidError if a tier has no queue of the right class.

    A reroute then moves waiting jobs to the queues of the new plan (`scheduling.bulk.reroute`).
    """
    with all_tenants():
        plans = {row.pk: row for row in CFSPlan.objects.select_for_update(no_key=True).order_by("pk")}
        target = plans[plan.pk]
        named = target.tiers.filter(region="").values("tier")
        missing = Tier.objects.exclude(pk__in=named).values_list("slug", flat=True)
        if missing:
            raise CFSPlanInvalidError("The plan names no queue for: %(names)s.", {"names": ", ".join(missing)})
        for row in target.tiers.select_related("queue__pool", "io_queue__pool"):
            _refuse_wrong_class(row)
        previous = next((row.name for row in plans.values() if row.is_active), None)
        CFSPlan.objects.filter(is_active=True).update(is_active=False)
        CFSPlan.objects.filter(pk=target.pk).update(is_active=True)
        request_reroute(cause=f"the CFS plan {target.name} is active")
        record_audit(
            action="cfs_plan.activated",
            target=target,
            before={"active": previous},
            after={"active": target.name},
            reason=reason,
        )
        wake_on_commit()
        target.refresh_from_db()
    return target


def describe_plan(plan: CFSPlan) -> dict[str, Any]:
    """Return a plan's content and version as JSON data, for the audit log."""
    return {**CFS_PLANS.describe(plan), "version": plan.version}


class _CFSPlans(Versioned[CFSPlan]):
    """Versioning of CFS plans with their tier rows; stored versions name queues, not their ids."""

    noun = "cfs_plan"
    owner = "plan"
    changed_action = "cfs_plan.changed"
    versions = CFSPlanVersion

    def find(self, name: str) -> CFSPlan:
        return get_cfs_plan(name)

    def lock(self, plan: CFSPlan) -> CFSPlan:
        return first_or_raise(CFSPlan.objects.select_for_update(no_key=True).filter(pk=plan.pk), CFSPlanNotFoundError)

    def describe(self, plan: CFSPlan) -> Content:
        rows = plan.tiers.select_related("queue", "io_queue")
        return {name: getattr(plan, name) for name in EDITABLE_FIELDS} | {
            "tiers": {row.key: _describe_tier([queue.name for queue in row.queues], row.weight) for row in rows}
        }

    def check(self, plan: CFSPlan, content: Mapping[str, Any]) -> None:
        self._assign(copy(plan), content)
        self._rows(plan, content["tiers"])

    def put(self, plan: CFSPlan, content: Mapping[str, Any]) -> None:
        self._assign(plan, content)
        rows = self._rows(plan, content["tiers"])
        stored = {row.key: row for row in plan.tiers.all()} if plan.pk else {}
        before, after = ({row.key: (row.queue_id, row.io_queue_id) for row in some} for some in (stored.values(), rows))
        if plan.is_active and before != after:
            request_reroute(cause=f"the CFS plan {plan} names other queues")
        plan.save()
        # A tier keeps its row: forms rendered before still name it.
        plan.tiers.filter(pk__in=[row.pk for key, row in stored.items() if key not in content["tiers"]]).delete()
        CFSPlanTier.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["plan", "tier", "region"],
            update_fields=["queue", "io_queue", "weight"],
        )
        wake_on_commit()

    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        tiers = {f"tiers.{tier}": row for tier, row in content["tiers"].items()}
        return {name: content[name] for name in EDITABLE_FIELDS} | tiers

    def _assign(self, plan: CFSPlan, content: Mapping[str, Any]) -> None:
        for name in EDITABLE_FIELDS:
            if name in content:
                setattr(plan, name, content[name])
        try:
            plan.full_clean()
        except ValidationError as error:
            raise CFSPlanInvalidError(" ".join(error.messages)) from error

    def _rows(self, plan: CFSPlan, tiers: Mapping[str, Mapping[str, Any]]) -> list[CFSPlanTier]:
        known = set(Tier.objects.values_list("slug", flat=True))
        queues = {queue.name: queue for queue in Queue.objects.select_related("pool")}
        named = {name for row in tiers.values() for name in (row["queue"], row.get("io_queue")) if name is not None}
        places = {key: key.partition("@")[::2] for key in tiers}
        gone = [*sorted({tier for tier, _ in places.values()} - known), *sorted(named - set(queues))]
        if gone:
            raise PlanContentInvalidError("There is no tier or queue %(names)s.", {"names": ", ".join(gone)})
        missing = sorted(known - set(tiers))
        if plan.is_active and missing:
            raise CFSPlanInvalidError("An active plan needs a queue for: %(names)s.", {"names": ", ".join(missing)})
        if any(not 1 <= row["weight"] <= MAX_WEIGHT for row in tiers.values()):
            raise CFSPlanInvalidError("Weights must lie between 1 and %(greatest)s.", {"greatest": MAX_WEIGHT})
        made = [
            CFSPlanTier(
                plan=plan,
                tier_id=places[key][0],
                region=places[key][1],
                queue=queues[row["queue"]],
                io_queue=queues.get(row.get("io_queue", "")),
                weight=row["weight"],
            )
            for key, row in tiers.items()
        ]
        for row in made:
            _refuse_wrong_class(row)
            _refuse_wrong_region(row)
        return made


CFS_PLANS = _CFSPlans()


def _describe_tiers(tiers: Sequence[TierRow]) -> dict[str, Any]:
    ids = [(row.queue_id, row.io_queue_id) if row.io_queue_id is not None else (row.queue_id,) for row in tiers]
    names = dict(Queue.objects.filter(pk__in={pk for pks in ids for pk in pks}).values_list("pk", "name"))
    if len({row.key for row in tiers}) != len(tiers):
        raise CFSPlanInvalidError("A tier appears more than once.")
    if any(pk not in names for pks in ids for pk in pks):
        raise CFSPlanInvalidError("A tier row names a queue that does not exist.")
    return {row.key: _describe_tier([names[pk] for pk in pks], row.weight) for row, pks in zip(tiers, ids, strict=True)}


def _describe_tier(queues: Sequence[str], weight: int) -> dict[str, Any]:
    return {**dict(zip(("queue", "io_queue"), queues, strict=False)), "weight": weight}


def _refuse_wrong_class(row: CFSPlanTier) -> None:
    if row.queue.pool.resource_class == WorkerPool.ResourceClass.IO:
        raise CFSPlanInvalidError(
            "The queue %(queue)s belongs to an I/O pool, which runs asynchronous kinds only.", {"queue": row.queue.name}
        )
    if row.io_queue is not None and row.io_queue.pool.resource_class != WorkerPool.ResourceClass.IO:
        raise CFSPlanInvalidError("The queue %(queue)s belongs to no I/O pool.", {"queue": row.io_queue.name})


def _refuse_wrong_region(row: CFSPlanTier) -> None:
    try:
        row.clean_fields(exclude=["plan", "tier", "queue", "io_queue", "weight"])
    except ValidationError as error:
        raise CFSPlanInvalidError(" ".join(error.messages)) from error


def _refuse_strays(fields: Mapping[str, Any]) -> None:
    if unknown := sorted(set(fields) - set(EDITABLE_FIELDS)):
        raise CFSPlanInvalidError("These fields cannot be edited: %(names)s.", {"names": ", ".join(unknown)})
