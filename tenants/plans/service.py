"""Changes of tiers and plans. A change applies to all their tenants at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Any, Final, cast

from django.db.models import Q
from django.utils.translation import gettext

from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError, PlanContentInvalidError, PlanNotFoundError, SlugTakenError
from tenants.limits.declared import MAX_LIMIT_VALUE
from tenants.models import Plan, PlanLimit, PlanVersion, Tenant, Tier
from tenants.plans.queries import get_plan
from tenants.signals import tenant_scheduling_changed
from tenants.tenancy.bases import clean_name, clean_slug
from tenants.tenancy.changes import Difference, assign
from tenants.versions.hooks import Content
from tenants.versions.service import Versioned

PLAN_FIELDS = (
    "name",
    "tier",
    "weight",
    "max_concurrency",
    "max_waiting_jobs",
    "submits_per_minute",
    "worker_seconds_per_month",
    "max_priority",
    "retry_rules",
    "needs_second_factor",
)
# Of fields that are younger than the versions in which they are missing.
_BEFORE: Final[Mapping[str, Any]] = {"needs_second_factor": False}


def create_tier(*, slug: str, name: str, rank: int) -> Tier:
    """Create a tier. A greater rank is a better tier."""
    with all_tenants():
        tier = Tier()
        if Tier.objects.filter(Q(pk=slug) | Q(rank=rank)).exists():
            raise SlugTakenError("There is a tier with the slug %(slug)r or this rank.", {"slug": slug})
        created = assign(tier, {"slug": clean_slug(slug), "name": clean_name(name, max_length=100), "rank": rank})
        tier.save(force_insert=True)
        record_audit(action="tier.created", target=tier, after=created.after)
    return tier


def update_tier(*, tier: Tier, changes: Mapping[str, Any]) -> Tier:
    """Change the `name` or `rank` of a tier; raise `FieldInvalidError` for any other field.

    The slug cannot change, because plans and rules refer to it.
    """
    if strays := set(changes) - {"name", "rank"}:
        raise FieldInvalidError("%(names)s: It cannot be edited.", {"names": ", ".join(sorted(strays))})
    with all_tenants():
        locked = Tier.objects.select_for_update(no_key=True).get(pk=tier.pk)
        difference = assign(locked, dict(changes))
        if Tier.objects.filter(rank=locked.rank).exclude(pk=locked.pk).exists():
            raise FieldInvalidError("rank: There is a tier with this rank.")
        if difference:
            locked.save(update_fields=list(difference.after))
            record_audit(action="tier.updated", target=locked, before=difference.before, after=difference.after)
    return locked


def find_tier(slug: str) -> Tier:
    """Return the tier with that slug; raise `PlanContentInvalidError` if there is none."""
    return first_or_raise(
        Tier.objects.filter(pk=slug), PlanContentInvalidError("There is no tier %(tier)r.", {"tier": slug})
    )


def create_plan(*, values: Mapping[str, Any], limits: Mapping[str, int] | None = None, reason: str = "") -> Plan:
    """Create a plan with the given fields and values for limits that plug-ins declare, as its first version.

    `tier` is a row or its slug. Raise `SlugTakenError` if there is a plan with that slug.
    """
    with all_tenants():
        plan = Plan()
        slug, tier = values["slug"], values["tier"]
        if Plan.objects.filter(slug=slug).exists():
            raise SlugTakenError("There is a plan with the slug %(slug)r.", {"slug": slug})
        created = assign(plan, {**values, "tier": tier if isinstance(tier, Tier) else find_tier(tier)})
        plan.save(force_insert=True)
        set_limits = _write_limits(plan, limits or {})
        PLANS.begin(plan, reason=reason)
        record_audit(action="plan.created", target=plan, after={**created.after, **set_limits.after}, reason=reason)
    return plan


def update_plan(
    *,
    plan: Plan,
    changes: Mapping[str, Any],
    limits: Mapping[str, int] | None = None,
    reason: str = "",
    expected_version: int | None = None,
    effective_from: datetime | None = None,
) -> PlanVersion | None:
    """Change fields of a plan, and replace its limits if `limits` is given. Return the new version.

    With `effective_from` the version takes effect at that time, else now. Return None if nothing changes. Raise
    `PlanChangedError` if the plan's version is not `expected_version`.
    """
    if strays := set(changes) - set(PLAN_FIELDS):
        raise FieldInvalidError("%(names)s: It cannot be edited.", {"names": ", ".join(sorted(strays))})

    def revise(content: Content) -> Content:
        """Return the content with the changes."""
        values = {name: value.pk if isinstance(value, Tier) else value for name, value in changes.items()}
        return content | values | ({} if limits is None else {"limits": dict(limits)})

    return cast(
        "PlanVersion | None",
        PLANS.edit(plan, revise, reason=reason, expected_version=expected_version, effective_from=effective_from),
    )


class _Plans(Versioned[Plan]):
    """The versioned kind of plans with their limits."""

    noun = owner = "plan"
    changed_action = "plan.updated"
    versions = PlanVersion

    def find(self, name: str) -> Plan:
        return get_plan(name)

    def require_approval(self, row: Plan, content: Content, difference: Difference, **options: Any) -> None:
        changed = ", ".join(f"{name} → {value}" for name, value in difference.after.items())
        if options["effective_from"] is not None:
            changed += f" ({options['effective_from']:%F %H:%M %Z})"
        arguments = {"plan": row.slug, "content": content, "expected_version": row.version, **options}
        require_approval("plan", arguments, preview=f"{row.slug}: {changed}")

    def require_approval_to_withdraw(self, row: Plan, number: int, reason: str) -> None:
        preview = gettext("%(plan)s: withdraw the scheduled version %(number)s") % {"plan": row.slug, "number": number}
        require_approval("plan", {"plan": row.slug, "withdraw": number, "reason": reason}, preview=preview)

    def lock(self, plan: Plan) -> Plan:
        return first_or_raise(Plan.objects.select_for_update(no_key=True).filter(pk=plan.pk), PlanNotFoundError)

    def describe(self, plan: Plan) -> Content:
        limits = dict(PlanLimit.objects.filter(plan=plan).values_list("key", "value"))
        return {name: plan.tier_id if name == "tier" else getattr(plan, name) for name in PLAN_FIELDS} | {
            "limits": limits
        }

    def check(self, plan: Plan, content: Mapping[str, Any]) -> None:
        if not isinstance(
            content["retry_rules"], dict
        ):  # Django takes what is empty for nothing, and asks no validator
            raise FieldInvalidError("retry_rules: It must be an object of rules by kind.")
        self._assign(copy(plan), content)
        for key, value in content["limits"].items():
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_LIMIT_VALUE:
                raise FieldInvalidError(
                    "limits.%(key)s: It must be between 0 and %(greatest)s.", {"key": key, "greatest": MAX_LIMIT_VALUE}
                )

    def put(self, plan: Plan, content: Mapping[str, Any]) -> None:
        self._assign(plan, content)
        plan.save(update_fields=[*PLAN_FIELDS, "version"])
        _write_limits(plan, content["limits"])
        _announce(plan)

    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        limits: dict[str, Any] = content["limits"]
        rules = {f"retry_rules.{kind}": rule for kind, rule in content["retry_rules"].items()}
        values = {**_BEFORE, **content}
        return {name: values[name] for name in PLAN_FIELDS if name != "retry_rules"} | rules | limits

    def _assign(self, plan: Plan, content: Mapping[str, Any]) -> None:
        tier = first_or_raise(
            Tier.objects.filter(pk=content["tier"]),
            PlanContentInvalidError("The tier %(tier)r no longer exists.", {"tier": content["tier"]}),
        )
        values = {**_BEFORE, **content, "tier": tier}
        assign(plan, {name: values[name] for name in PLAN_FIELDS})


PLANS = _Plans()


def _write_limits(plan: Plan, limits: Mapping[str, int]) -> Difference:
    """Set the plan's limits to `limits`, in three statements. Return what changed."""
    existing = dict(PlanLimit.objects.filter(plan=plan).values_list("key", "value"))
    changed = {key: value for key, value in limits.items() if existing.get(key) != value}
    removed = [key for key in existing if key not in limits]
    PlanLimit.objects.filter(plan=plan, key__in=removed).delete()
    PlanLimit.objects.bulk_create(
        [PlanLimit(plan=plan, key=key, value=value) for key, value in changed.items()],
        update_conflicts=True,
        unique_fields=["plan", "key"],
        update_fields=["value"],
    )
    before = {key: existing.get(key) for key in [*changed, *removed]}
    return Difference(before, {**changed, **dict.fromkeys(removed)})


def _announce(plan: Plan) -> None:
    tenant_ids = list(Tenant.objects.filter(plan=plan).values_list("pk", flat=True))
    if tenant_ids:
        tenant_scheduling_changed.send(sender=Plan, tenant_ids=tenant_ids)
