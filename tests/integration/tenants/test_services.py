"""Services for tenants, plans, members and keys: each change with its audit entry and its signal, or nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Actor, acting_as, all_tenants, current_scope, tenant_context
from tenants.exceptions import (
    FieldInvalidError,
    PlanNotFoundError,
    ReasonRequiredError,
    SlugTakenError,
    TenantNotFoundError,
)
from tenants.models import ApiKey, AuditLogEntry, Plan, PlanLimit, Tenant, TenantStatus, Tier
from tenants.plans.service import create_plan, create_tier, update_plan, update_tier
from tenants.signals import tenant_scheduling_changed
from tenants.tenancy.queries import find_tenant, plan_limit
from tenants.tenancy.service import (
    create_tenant,
    pause_tenant,
    reinstate_tenant,
    resume_tenant,
    suspend_tenant,
    update_tenant,
)
from tests.integration.tenants.sql import entries, reloaded
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def announced():
    """Return the signals sent to the scheduler, and their scope."""
    signalled: list[tuple[list, bool]] = []

    def hear(sender: object, tenant_ids: list, **kwargs: object) -> None:
        signalled.append((list(tenant_ids), current_scope().is_all_tenants))

    tenant_scheduling_changed.connect(hear)
    yield signalled
    tenant_scheduling_changed.disconnect(hear)


def test_first_migration_creates_the_initial_plans():
    with all_tenants():
        plans = {
            plan.slug: (
                plan.tier_id,
                plan.weight,
                plan.max_concurrency,
                plan.submits_per_minute,
                plan.max_waiting_jobs,
                plan.worker_seconds_per_month,
                plan.limits.get(key="document_indexing.files_per_batch").value,
            )
            for plan in Plan.objects.all()
        }
    assert plans == {
        "sandbox": ("sandbox", 1, 2, 120, 10_000, 10_000, 5),
        "team": ("team", 2, 5, 600, 100_000, 100_000, 20),
        "professional": ("professional", 4, 10, 3_000, 1_000_000, 1_000_000, 100),
    }


def test_new_tenant_is_active_audited_and_named_after_its_slug():
    tenant = create_tenant(slug="initech", plan="team")
    assert (tenant.name, tenant.status, tenant.is_paused, tenant.concurrency_cap) == ("initech", "active", False, 5)
    [entry] = entries("tenant.created")
    assert (entry.tenant_id, entry.target_type, entry.target_id) == (tenant.pk, "tenants.tenant", str(tenant.pk))
    assert entry.after == {"slug": "initech", "name": "initech", "plan": "team"}
    assert entry.actor_kind == "system"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"slug": "acme", "plan": "team"}, SlugTakenError),
        ({"slug": "initech", "plan": "gold"}, PlanNotFoundError),
        ({"slug": "Initech", "plan": "team"}, FieldInvalidError),
        ({"slug": "initech", "plan": "team", "name": "a\u200bb"}, FieldInvalidError),
    ],
)
def test_invalid_tenant_is_refused_and_leaves_nothing(acme, values, error):
    with pytest.raises(error):
        create_tenant(**values)
    with all_tenants():
        assert Tenant.objects.count() == 1
    assert len(entries("tenant.created")) == 1


def test_changed_plan_is_audited_and_signalled_in_the_platform_scope(acme, announced):
    changed = update_tenant(tenant=acme, changes={"plan": "professional"}, reason="upgrade")
    assert reloaded(acme).plan.slug == changed.plan.slug == "professional"
    [entry] = entries("tenant.updated")
    assert (entry.before, entry.after) == ({"plan": str(acme.plan_id)}, {"plan": str(changed.plan_id)})
    assert entry.reason == "upgrade"
    assert announced == [([acme.pk], True)]


def test_weight_and_cap_are_changed_together(acme, announced):
    changed = update_tenant(tenant=acme, changes={"weight_factor": Decimal("1.5"), "max_concurrency": 7})
    assert (changed.effective_weight, changed.concurrency_cap) == (Decimal("3.0"), 7)
    assert entries("tenant.updated")[0].after == {"weight_factor": "1.5", "max_concurrency": 7}
    assert len(announced) == 1


def test_changed_name_is_not_signalled_to_the_scheduler(acme, announced):
    update_tenant(tenant=acme, changes={"name": "Acme Ltd"})
    assert reloaded(acme).name == "Acme Ltd"
    assert announced == []


def test_update_without_difference_writes_nothing(acme, announced):
    update_tenant(tenant=acme, changes={"name": acme.name, "weight_factor": Decimal(1)})
    resume_tenant(tenant=acme)
    assert entries("tenant.updated") == entries("tenant.resumed") == []
    assert announced == []


@pytest.mark.parametrize(
    "changes", [{"weight_factor": Decimal(0)}, {"weight_factor": Decimal(-1)}, {"max_concurrency": -1}, {"name": ""}]
)
def test_value_refused_by_the_model_is_named(acme, changes):
    with pytest.raises(FieldInvalidError) as refusal:
        update_tenant(tenant=acme, changes=changes)
    assert refusal.value.errors[0]["field"] == next(iter(changes))
    assert entries("tenant.updated") == []


@pytest.mark.parametrize("field", ["status", "is_paused", "slug", "id"])
def test_field_with_its_own_act_cannot_be_edited(acme, field):
    with pytest.raises(FieldInvalidError, match=field):
        update_tenant(tenant=acme, changes={field: "x"})


def test_suspension_and_pause_are_independent(acme, announced):
    suspend_tenant(tenant=acme, reason="unpaid")
    pause_tenant(tenant=acme, reason="holiday")
    assert (reloaded(acme).status == TenantStatus.SUSPENDED, reloaded(acme).is_paused) == (True, True)
    resume_tenant(tenant=acme)
    assert (reloaded(acme).status == TenantStatus.SUSPENDED, reloaded(acme).is_paused) == (True, False)
    reinstate_tenant(tenant=acme)
    assert reloaded(acme).status != TenantStatus.SUSPENDED
    assert len(announced) == 4


@pytest.mark.parametrize("act", [suspend_tenant, pause_tenant])
@pytest.mark.parametrize("reason", ["", "  "])
def test_stop_of_a_tenant_needs_a_reason(acme, act, reason):
    with pytest.raises(ReasonRequiredError):
        act(tenant=acme, reason=reason)


def test_failing_scheduler_rolls_the_change_back(acme):
    def fail(**kwargs: object) -> None:
        raise ZeroDivisionError

    tenant_scheduling_changed.connect(fail)
    try:
        with pytest.raises(ZeroDivisionError):
            suspend_tenant(tenant=acme, reason="unpaid")
    finally:
        tenant_scheduling_changed.disconnect(fail)
    assert reloaded(acme).status != TenantStatus.SUSPENDED
    assert entries("tenant.suspended") == []


def test_missing_tenant_is_not_found(acme):
    with pytest.raises(TenantNotFoundError):
        pause_tenant(tenant=Tenant(slug="x"), reason="x")


def test_audit_entry_names_actor_and_request(acme):
    with acting_as(Actor(kind="user", id="7", label="alice", request_id="r-7")):
        pause_tenant(tenant=acme, reason="x")
    [entry] = entries("tenant.paused")
    assert (entry.actor_kind, entry.actor_id, entry.actor_label, entry.request_id) == ("user", "7", "alice", "r-7")


def test_audit_entry_is_rolled_back_with_its_change(acme):
    with pytest.raises(ZeroDivisionError), tenant_context(acme):
        issue_api_key(tenant=acme, name="lost")
        assert AuditLogEntry.objects.filter(action="api_key.issued").exists()
        _ = 1 / 0
    assert entries("api_key.issued") == []
    with all_tenants():
        assert not ApiKey.objects.exists()


def test_platform_act_has_no_tenant_and_is_hidden_from_tenants(acme):
    with all_tenants():
        record_audit(action="platform.done", target=AuditTarget(type="platform"))
    [entry] = entries("platform.done")
    assert entry.tenant_id is None
    with tenant_context(acme):
        assert not AuditLogEntry.objects.filter(action="platform.done").exists()


def test_changed_plan_applies_to_all_its_tenants(acme, globex, announced):
    with all_tenants():
        plan = Plan.objects.get(slug="team")
        plan.limits.exclude(key="document_indexing.files_per_batch").delete()
    update_plan(plan=plan, changes={"weight": 5}, limits={"a.b": 1}, reason="new prices")
    with tenant_context(acme):
        assert plan_limit(acme, "a.b") == 1
        assert plan_limit(acme, "document_indexing.files_per_batch") is None
    [entry] = entries("plan.updated")
    assert entry.before == {"weight": 2, "a.b": None, "document_indexing.files_per_batch": 20, "version": 1}
    assert entry.after == {"weight": 5, "a.b": 1, "document_indexing.files_per_batch": None, "version": 2}
    assert entry.tenant_id is None
    assert announced == [([acme.pk], True)]


def test_limits_that_are_not_mentioned_are_kept(acme):
    with all_tenants():
        plan = Plan.objects.get(slug="team")
    update_plan(plan=plan, changes={"weight": 5})
    with tenant_context(acme):
        assert plan_limit(acme, "document_indexing.files_per_batch") == 20


@pytest.mark.parametrize("changes", [{"weight": 0}, {"max_concurrency": -1}, {"weight": "x"}, {"name": ""}])
def test_invalid_plan_is_refused(changes):
    with all_tenants():
        plan = Plan.objects.get(slug="team")
    with pytest.raises(FieldInvalidError):
        update_plan(plan=plan, changes=changes)
    assert entries("plan.updated") == []


def test_tier_and_plan_can_be_added():
    tier = create_tier(slug="enterprise", name="Enterprise", rank=9)
    update_tier(tier=tier, changes={"name": "Enterprise+"})
    values = {
        "slug": "enterprise",
        "name": "Enterprise",
        "tier": tier,
        "max_waiting_jobs": 1,
        "submits_per_minute": 1,
        "worker_seconds_per_month": 1,
    }
    plan = create_plan(values=values, limits={"a.b": 2})
    assert (plan.weight, plan.max_concurrency) == (1, 2)
    assert create_tenant(slug="initech", plan="enterprise").plan == plan
    with all_tenants():
        assert Tier.objects.get(pk="enterprise").name == "Enterprise+"
        assert PlanLimit.objects.get(plan=plan).value == 2
    assert len(entries("tier.created")) == len(entries("tier.updated")) == len(entries("plan.created")) == 1


def test_tenant_is_found_by_its_slug(acme):
    assert find_tenant("acme") == acme
    with pytest.raises(TenantNotFoundError, match="'unknown'"):
        find_tenant("unknown")
