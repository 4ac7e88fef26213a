"""Acts POST, write an audit entry with the change, and are refused to whoever may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.lifecycle import JobState
from scheduling.models import CFSPlan, CFSPlanTier, Drain, Job, KindPause, Queue, RoutingRule, Worker
from scheduling.services.pauses import pause_kind
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, ErasureStatus, Membership, Role, Tenant, TenantErasure
from tenants.services.tenants import suspend_tenant
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]


def _act(model: str, key: object, name: str) -> str:
    return reverse(f"admin:scheduling_{model}_act", args=[key, name])


def _state(job_id: UUID) -> str:
    with all_tenants():
        return Job.objects.get(pk=job_id).state


def _entries(action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action))


def test_no_act_runs_on_get(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    rows = {
        "job": acme_work.waiting.pk,
        "deadletter": acme_work.letter.pk,
        "queue": Queue.objects.get(name="dataset").pk,
        "cfsplan": CFSPlan.objects.get(name="community").pk,
    }
    before = _entries_of_everything()
    for model, model_admin in admin.site._registry.items():
        for name in getattr(model_admin, "post_actions", ()):
            url_name = f"admin:{model._meta.app_label}_{model._meta.model_name}_act"
            key = rows.get(model._meta.model_name, acme_work.tenant.pk)
            assert client.get(reverse(url_name, args=[key, name])).status_code == 405, (model, name)
    assert _entries_of_everything() == before


def test_ticked_rows_are_not_acted_on_by_get(console: Console, staff: User, acme_work: Work) -> None:
    query = {"action": "cancel_selected", "_selected_action": str(acme_work.waiting.pk), "index": "0"}
    console(staff).get(reverse("admin:scheduling_job_changelist"), query)
    assert _state(acme_work.waiting.pk) == JobState.AVAILABLE


def test_jobs_are_not_edited_and_nothing_of_history_is_deleted(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    page = reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk])
    assert client.post(page, {"state": "completed"}).status_code == 405
    for model, key in {"job": acme_work.waiting.pk, "execution": acme_work.execution.pk}.items():
        assert client.post(reverse(f"admin:scheduling_{model}_delete", args=[key]), {"post": "yes"}).status_code == 403
        assert client.post(reverse(f"admin:scheduling_{model}_add"), {}).status_code == 403
    for model in ("execution", "jobevent", "charge", "liveexecution", "schedulingentity", "deadletter", "batch"):
        model_admin = next(a for m, a in admin.site._registry.items() if m._meta.model_name == model)
        assert "delete_selected" not in (model_admin.actions or ())


def test_cancel_is_told_and_audited(console: Console, acme_user: User, acme_work: Work) -> None:
    response = console(acme_user).post(
        _act("job", acme_work.waiting.pk, "cancel"), {"reason": "sent by mistake"}, follow=True
    )
    assert "The job is cancelled." in response.content.decode()
    assert _state(acme_work.waiting.pk) == JobState.CANCELLED
    [entry] = _entries("job.cancelled")
    assert (entry.reason, entry.actor_label, entry.tenant_id) == ("sent by mistake", "alice", acme_work.tenant.pk)


def test_an_act_that_cannot_be_is_refused_in_words(console: Console, staff: User, acme_work: Work) -> None:
    response = console(staff).post(_act("job", acme_work.failed.pk, "cancel"), {"reason": "x"}, follow=True)
    assert response.status_code == 200
    assert "cannot be cancelled" in response.content.decode()
    assert _entries("job.cancelled") == []


def test_requeue_makes_a_new_job_linked_to_the_old(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    response = client.post(_act("deadletter", acme_work.letter.pk, "requeue"), {"reason": "fixed"})
    with all_tenants():
        child = Job.objects.get(parent_id=acme_work.failed.pk)
    assert response.url == reverse("admin:scheduling_job_change", args=[child.pk])
    assert child.tenant_id == acme_work.tenant.pk
    assert [entry.reason for entry in _entries("job.retried")] == ["fixed"]
    again = client.post(_act("deadletter", acme_work.letter.pk, "requeue"), {"reason": "fixed"}, follow=True)
    assert "Requeued already" in again.content.decode()


def test_ticked_jobs_are_retried_and_cancelled_with_one_entry_each(
    console: Console, staff: User, acme_work: Work, globex_work: Work
) -> None:
    client = console(staff)
    url = reverse("admin:scheduling_job_changelist")
    retried = {
        "action": "retry_selected",
        "reason": "night shift",
        "_selected_action": [acme_work.failed.pk, globex_work.failed.pk],
    }
    assert "Run again as new jobs: 2." in client.post(url, retried, follow=True).content.decode()
    assert len(_entries("job.retried")) == 1
    cancelled = {"action": "cancel_selected", "reason": "tidy", "_selected_action": [acme_work.waiting.pk]}
    assert "Cancelled or asked to stop: 1." in client.post(url, cancelled, follow=True).content.decode()
    assert _state(acme_work.waiting.pk) == JobState.CANCELLED


def test_ticked_rows_of_another_tenant_are_left_alone(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    data = {"action": "cancel_selected", "reason": "x", "_selected_action": [globex_work.waiting.pk]}
    console(acme_user).post(reverse("admin:scheduling_job_changelist"), data)
    assert _state(globex_work.waiting.pk) == JobState.AVAILABLE


def test_another_tenants_job_cannot_be_acted_on(console: Console, acme_user: User, globex_work: Work) -> None:
    client = console(acme_user)
    assert client.post(_act("job", globex_work.waiting.pk, "cancel"), {"reason": "x"}).status_code == 404
    assert _state(globex_work.waiting.pk) == JobState.AVAILABLE


def test_a_viewer_is_offered_nothing_and_allowed_nothing(console: Console, acme_user: User, acme_work: Work) -> None:
    with tenant_context(acme_work.tenant):
        Membership.objects.update(role=Role.VIEWER)
    client = console(acme_user)
    page = client.get(reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]))
    assert page.context["post_actions"] == []
    assert client.post(_act("job", acme_work.waiting.pk, "cancel"), {"reason": "x"}).status_code == 403
    data = {"action": "cancel_selected", "reason": "x", "_selected_action": [acme_work.waiting.pk]}
    client.post(reverse("admin:scheduling_job_changelist"), data)
    assert _state(acme_work.waiting.pk) == JobState.AVAILABLE


def test_a_queue_is_paused_edited_and_resumed_by_staff_alone(console: Console, staff: User, acme_user: User) -> None:
    queue = Queue.objects.get(name="dataset")
    client = console(acme_user)
    assert client.post(_act("queue", queue.pk, "pause"), {"reason": "mine"}).status_code in {403, 404}
    client = console(staff)
    client.post(_act("queue", queue.pk, "pause"), {"reason": "disk"})
    queue.refresh_from_db()
    assert (queue.is_paused, queue.pause_reason) == (True, "disk")
    client.post(_act("queue", queue.pk, "resume"), {"reason": "more disk"})
    page = reverse("admin:scheduling_queue_change", args=[queue.pk])
    data = {"description": "Documents", "weight": 5, "cap": "", "resource_class": "cpu", "expected_seconds": 12}
    assert client.post(page, data).status_code == 302
    queue.refresh_from_db()
    assert (queue.is_paused, queue.weight, queue.cap) == (False, 5, None)
    [entry] = _entries("queue.changed")
    assert (entry.before["weight"], entry.after["weight"]) == (2, 5)
    assert len(_entries("queue.paused")) == len(_entries("queue.resumed")) == 1


def _plan_form(plan: CFSPlan, weights: dict[str, int], reason: str) -> dict[str, object]:
    rows = list(CFSPlanTier.objects.filter(plan=plan).order_by("tier__rank"))
    data: dict[str, object] = {
        "name": plan.name,
        "strategy": plan.strategy,
        "granularity_seconds": plan.granularity_seconds,
        "reserved_slots": plan.reserved_slots,
        "reason": reason,
        "tiers-TOTAL_FORMS": len(rows),
        "tiers-INITIAL_FORMS": len(rows),
        "tiers-MIN_NUM_FORMS": 0,
        "tiers-MAX_NUM_FORMS": 1000,
    }
    for index, row in enumerate(rows):
        data |= {
            f"tiers-{index}-id": row.pk,
            f"tiers-{index}-plan": plan.pk,
            f"tiers-{index}-tier": row.tier_id,
            f"tiers-{index}-queue": row.queue_id,
            f"tiers-{index}-weight": weights.get(row.tier_id, row.weight),
        }
    return data


def test_a_plan_and_its_tiers_are_saved_as_one_version_with_one_entry(console: Console, staff: User) -> None:
    plan = CFSPlan.objects.get(name="cloud")
    page = reverse("admin:scheduling_cfsplan_change", args=[plan.pk])
    response = console(staff).post(page, _plan_form(plan, {"sandbox": 9}, "launch week"))
    assert response.status_code == 302, response.context["errors"]
    assert CFSPlanTier.objects.get(plan=plan, tier_id="sandbox").weight == 9
    assert CFSPlan.objects.get(pk=plan.pk).version == plan.version + 1
    [entry] = _entries("cfs_plan.changed")
    assert entry.reason == "launch week"
    assert (entry.before["tiers.sandbox"]["weight"], entry.after["tiers.sandbox"]["weight"]) == (1, 9)


def test_an_active_plan_keeps_a_queue_for_every_tier(console: Console, staff: User) -> None:
    plan = CFSPlan.objects.get(name="cloud")
    data = _plan_form(plan, {}, "oops") | {"tiers-0-DELETE": "on"}
    page = reverse("admin:scheduling_cfsplan_change", args=[plan.pk])
    response = console(staff).post(page, data, follow=True)
    assert "An active plan needs a queue" in response.content.decode()
    assert CFSPlanTier.objects.filter(plan=plan).count() == 3
    assert _entries("cfs_plan.changed") == []


def test_a_plan_is_activated_and_copied_by_hand(console: Console, staff: User) -> None:
    community = CFSPlan.objects.get(name="community")
    client = console(staff)
    client.post(_act("cfsplan", community.pk, "activate"), {"reason": "drill"})
    assert CFSPlan.objects.get(is_active=True) == community
    data = _plan_form(community, {}, "a copy") | {"name": "night", "tiers-INITIAL_FORMS": 0}
    data = {key: value for key, value in data.items() if not key.endswith(("-id", "-plan"))}
    response = client.post(reverse("admin:scheduling_cfsplan_add"), data)
    assert response.status_code == 302, response.context["errors"]
    assert CFSPlan.objects.get(name="night").tiers.count() == 3
    assert len(_entries("cfs_plan.created")) == 1


def test_a_rule_that_could_not_be_evaluated_is_refused_beside_its_field(console: Console, staff: User) -> None:
    client = console(staff)
    data = {
        "position": 5,
        "kind": "noop",
        "tier": "",
        "queue": Queue.objects.get(name="workflow").pk,
        "condition": '{"field": "pages", "op": "resembles", "value": 1}',
        "is_active": "on",
        "balance": "",
        "targets-TOTAL_FORMS": 0,
        "targets-INITIAL_FORMS": 0,
    }
    page = client.post(reverse("admin:scheduling_routingrule_add"), data)
    assert "op is one of" in page.content.decode()
    data["condition"] = '{"field": "pages", "op": "gt", "value": 1}'
    assert client.post(reverse("admin:scheduling_routingrule_add"), data).status_code == 302
    rule = RoutingRule.objects.get(position=5)
    assert rule.condition == {"field": "pages", "op": "gt", "value": 1}
    changed = data | {"condition": "", "position": 6}
    assert client.post(reverse("admin:scheduling_routingrule_change", args=[rule.pk]), changed).status_code == 302
    assert len(_entries("routing_rule.created")) == len(_entries("routing_rule.changed")) == 1


def test_a_kind_is_paused_and_resumed(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    client.post(reverse("admin:scheduling_kindpause_add"), {"kind": "noop", "reason": "bug 12"})
    assert KindPause.objects.get().reason == "bug 12"
    client.post(_act("kindpause", "noop", "resume"), {"reason": "fixed"})
    assert not KindPause.objects.exists()
    assert len(_entries("kind.paused")) == len(_entries("kind.resumed")) == 1


def test_a_pause_ends_when_its_form_says_so_and_a_time_that_is_none_is_refused(console: Console, staff: User) -> None:
    client = console(staff)
    queue = Queue.objects.get(name="dataset")
    page = client.get(reverse("admin:scheduling_queue_change", args=[queue.pk])).content.decode()
    assert 'type="datetime-local"' in page
    client.post(_act("queue", queue.pk, "pause"), {"reason": "disk", "until": "soon"})
    queue.refresh_from_db()
    assert not queue.is_paused
    client.post(_act("queue", queue.pk, "pause"), {"reason": "disk", "until": "2999-01-31T09:30"})
    queue.refresh_from_db()
    assert queue.paused_until == datetime(2999, 1, 31, 9, 30, tzinfo=UTC)
    overview = client.get(reverse("admin:index")).content.decode()
    assert "Queue “dataset” is paused" in overview
    assert "user:stella" in overview
    assert "2999-01-31 09:30 UTC" in overview


def test_a_pool_and_a_worker_are_drained_and_resumed(console: Console, staff: User, live_worker: Worker) -> None:
    client = console(staff)
    client.post(_act("workerpool", live_worker.pool_id, "drain"), {"reason": "deploy"})
    client.post(_act("worker", live_worker.pk, "drain"), {"reason": "scale in"})
    live_worker.refresh_from_db()
    assert live_worker.status == Worker.Status.DRAINING
    assert Drain.objects.get().name == "default"
    client.post(_act("workerpool", live_worker.pool_id, "resume"), {"reason": "deployed"})
    client.post(_act("worker", live_worker.pk, "resume"))
    live_worker.refresh_from_db()
    assert live_worker.status == Worker.Status.ONLINE
    assert not Drain.objects.exists()


def test_an_erasure_needs_the_slug_and_can_be_cancelled(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    suspend_tenant(tenant=acme, reason="contract ended")
    erase = reverse("admin:tenants_tenant_act", args=[acme.pk, "erase"])
    client.post(erase, {"reason": "contract ended", "confirm": "acne"})
    with all_tenants():
        assert not TenantErasure.objects.exists()
    client.post(erase, {"reason": "contract ended", "confirm": "acme"})
    with all_tenants():
        erasure = TenantErasure.objects.get()
    assert erasure.requested_by == "user:stella"
    page = client.get(reverse("admin:tenants_tenanterasure_change", args=[erasure.pk])).content.decode()
    assert 'data-act="cancel"' in page
    client.post(reverse("admin:tenants_tenanterasure_act", args=[erasure.pk, "cancel"]), {"reason": "a mistake"})
    with all_tenants():
        assert TenantErasure.objects.get().status == ErasureStatus.CANCELLED


def test_a_write_that_fails_leaves_no_entry(
    console: Console, staff: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_afterwards(**_: object) -> None:
        pause_kind(kind="noop", reason="half done")
        raise RuntimeError("after the write")

    monkeypatch.setattr("scheduling.admin.topology.pause_kind", fail_afterwards)
    client = console(staff)
    client.raise_request_exception = False
    response = client.post(reverse("admin:scheduling_kindpause_add"), {"kind": "noop", "reason": "x"})
    assert response.status_code == 500
    assert not KindPause.objects.exists()
    assert _entries("kind.paused") == []


def _entries_of_everything() -> int:
    with all_tenants():
        return AuditLogEntry.objects.count()
