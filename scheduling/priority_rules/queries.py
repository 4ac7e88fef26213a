"""Queries of priority rules: which are enabled, which kinds of tenants fail, and how a waiting job is moved."""

from __future__ import annotations

from uuid import UUID

from scheduling.fairness.shares import Move
from scheduling.jobs.models import Job
from scheduling.load.queries import current_load
from scheduling.plans.models import CFSPlan
from scheduling.priority_rules.models import PriorityRule
from scheduling.priority_rules.rules import Failing, PriorityTerms, effects_of, move_of
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# Failures of this time count, from this number on; beyond the limit kinds with fewer failures count as not failing.
FAILING_MINUTES, FEWEST_FAILURES, MOST_FAILING = 10, 5, 500

_FAILING = load_sql(__file__)["find_failing"]


def read_rules() -> list[PriorityTerms]:
    """Return the enabled rules in their order; none if the active plan serves in order of arrival.

    That order is one of ranks between tenants too: a job that others pass would hold its tenant's place for them. The
    caller is in the scope of all tenants.
    """
    if CFSPlan.objects.filter(is_active=True, strategy=CFSPlan.Strategy.NOP).exists():
        return []
    rows = PriorityRule.objects.filter(is_enabled=True).order_by("position")
    return [terms_of(row) for row in rows]


def terms_of(row: PriorityRule) -> PriorityTerms:
    """Return the terms of a rule."""
    return PriorityTerms(row.name, row.from_level, row.kind, row.tier_id or "", row.failure_percent, row.offset_seconds)


def read_failing(rules: list[PriorityTerms], tenant_id: UUID | None = None) -> Failing:
    """Return the failure shares in percent, by tenant and kind, that these rules need; without such a rule none."""
    percents = [rule.failure_percent for rule in rules if rule.failure_percent]
    if not percents:
        return {}
    values = {
        "minutes": FAILING_MINUTES,
        "tenant_id": tenant_id,
        "least": FEWEST_FAILURES,
        "percent": min(percents),
        "limit": MOST_FAILING,
    }
    return {(row.tenant_id, row.kind): row.percent for row in fetch_all(_FAILING, values, is_planned=True)}


def read_move(job: Job) -> Move | None:
    """Return by how much rules move a waiting job now; None if none does. At a normal load nothing is read."""
    load = current_load()
    if not (level := load.level_of_pool(job.queue.pool_id)):
        return None
    rules = [rule for rule in read_rules() if level >= rule.from_level and rule.kind in ("", job.kind)]
    effects = effects_of(rules, read_failing(rules, job.tenant_id), level)
    return move_of(effects, kind=job.kind, tier=job.tenant.plan.tier_id, tenant_id=job.tenant_id) if effects else None
