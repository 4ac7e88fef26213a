"""Acts on shared objects: queues, plans, rules, kinds, pools, workers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from scheduling.models import CFSPlan, CFSPlanTier, Drain, KindPause, Queue, RoutingRule, Worker
from tenants.models import Tenant
from tests.integration.console.admin_actions import Console, act_url, entries_of

pytestmark = pytest.mark.django_db


def test_queue_is_paused_edited_and_resumed_only_by_staff(console: Console, staff: User, acme_user: User) -> None:
    queue = Queue.objects.get(name="dataset")
    client = console(acme_user)
    assert client.post(act_url("queue", queue.pk, "pause"), {"reason": "mine"}).status_code in {403, 404}
    client = console(staff)
    client.post(act_url("queue", queue.pk, "pause"), {"reason": "disk"})
    queue.refresh_from_db()
    assert (queue.is_paused, queue.pause_reason) == (True, "disk")
    client.post(act_url("queue", queue.pk, "resume"), {"reason": "more disk"})
    page = reverse("admin:scheduling_queue_change", args=[queue.pk])
    data = {"description": "Documents", "weight": 5, "cap": "", "expected_seconds": 12}
    assert client.post(page, data).status_code == 302
    queue.refresh_from_db()
    assert (queue.is_paused, queue.weight, queue.cap) == (False, 5, None)
    [entry] = entries_of("queue.changed")
    assert (entry.before["weight"], entry.after["weight"]) == (2, 5)
    assert len(entries_of("queue.paused")) == len(entries_of("queue.resumed")) == 1


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


def test_plan_and_tiers_are_saved_as_one_version_with_one_entry(console: Console, staff: User) -> None:
    plan = CFSPlan.objects.get(name="cloud")
    page = reverse("admin:scheduling_cfsplan_change", args=[plan.pk])
    response = console(staff).post(page, _plan_form(plan, {"sandbox": 9}, "launch week"))
    assert response.status_code == 302, response.context["errors"]
    assert CFSPlanTier.objects.get(plan=plan, tier_id="sandbox").weight == 9
    assert CFSPlan.objects.get(pk=plan.pk).version == plan.version + 1
    [entry] = entries_of("cfs_plan.changed")
    assert entry.reason == "launch week"
    assert (entry.before["tiers.sandbox"]["weight"], entry.after["tiers.sandbox"]["weight"]) == (1, 9)


def test_active_plan_needs_a_queue_for_every_tier(console: Console, staff: User) -> None:
    plan = CFSPlan.objects.get(name="cloud")
    data = _plan_form(plan, {}, "oops") | {"tiers-0-DELETE": "on"}
    page = reverse("admin:scheduling_cfsplan_change", args=[plan.pk])
    response = console(staff).post(page, data, follow=True)
    assert "An active plan needs a queue" in response.content.decode()
    assert CFSPlanTier.objects.filter(plan=plan).count() == 3
    assert entries_of("cfs_plan.changed") == []


def test_plan_is_activated_and_copied(console: Console, staff: User) -> None:
    community = CFSPlan.objects.get(name="community")
    client = console(staff)
    client.post(act_url("cfsplan", community.pk, "activate"), {"reason": "drill"})
    assert CFSPlan.objects.get(is_active=True) == community
    data = _plan_form(community, {}, "a copy") | {"name": "night", "tiers-INITIAL_FORMS": 0}
    data = {key: value for key, value in data.items() if not key.endswith(("-id", "-plan"))}
    response = client.post(reverse("admin:scheduling_cfsplan_add"), data)
    assert response.status_code == 302, response.context["errors"]
    assert CFSPlan.objects.get(name="night").tiers.count() == 3
    assert len(entries_of("cfs_plan.created")) == 1


def test_invalid_routing_rule_is_refused_beside_its_field(console: Console, staff: User) -> None:
    client = console(staff)
    data = {
        "position": 5,
        "kind": "noop",
        "tier": "",
        "queue": Queue.objects.get(name="tasks").pk,
        "condition": '{"field": "pages", "op": "resembles", "value": 1}',
        "is_active": "on",
        "balance": "",
        "targets-TOTAL_FORMS": 0,
        "targets-INITIAL_FORMS": 0,
    }
    page = client.post(reverse("admin:scheduling_routingrule_add"), data)
    assert "op must be one of" in page.content.decode()
    data["condition"] = '{"field": "pages", "op": "gt", "value": 1}'
    assert client.post(reverse("admin:scheduling_routingrule_add"), data).status_code == 302
    rule = RoutingRule.objects.get(position=5)
    assert rule.condition == {"field": "pages", "op": "gt", "value": 1}
    changed = data | {"condition": "", "position": 6}
    assert client.post(reverse("admin:scheduling_routingrule_change", args=[rule.pk]), changed).status_code == 302
    assert len(entries_of("routing_rule.created")) == len(entries_of("routing_rule.changed")) == 1


def test_kind_is_paused_and_resumed(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    client.post(reverse("admin:scheduling_kindpause_add"), {"kind": "noop", "reason": "bug 12"})
    assert KindPause.objects.get().reason == "bug 12"
    client.post(act_url("kindpause", "noop", "resume"), {"reason": "fixed"})
    assert not KindPause.objects.exists()
    assert len(entries_of("kind.paused")) == len(entries_of("kind.resumed")) == 1


def test_pause_ends_at_its_time_and_an_invalid_time_is_refused(console: Console, staff: User) -> None:
    client = console(staff)
    queue = Queue.objects.get(name="dataset")
    page = client.get(reverse("admin:scheduling_queue_change", args=[queue.pk])).content.decode()
    assert 'type="datetime-local"' in page
    client.post(act_url("queue", queue.pk, "pause"), {"reason": "disk", "until": "soon"})
    queue.refresh_from_db()
    assert not queue.is_paused
    client.post(act_url("queue", queue.pk, "pause"), {"reason": "disk", "until": "2999-01-31T09:30"})
    queue.refresh_from_db()
    assert queue.paused_until == datetime(2999, 1, 31, 9, 30, tzinfo=UTC)
    overview = client.get(reverse("admin:index")).content.decode()
    assert "Queue “dataset” is paused" in overview
    assert "user:stella" in overview
    assert "2999-01-31 09:30:00 UTC" in overview


def test_pool_and_worker_are_drained_and_resumed(console: Console, staff: User, live_worker: Worker) -> None:
    client = console(staff)
    client.post(act_url("workerpool", live_worker.pool_id, "drain"), {"reason": "deploy"})
    client.post(act_url("worker", live_worker.pk, "drain"), {"reason": "scale in"})
    live_worker.refresh_from_db()
    assert live_worker.status == Worker.Status.DRAINING
    assert Drain.objects.get().name == "default"
    client.post(act_url("workerpool", live_worker.pool_id, "resume"), {"reason": "deployed"})
    client.post(act_url("worker", live_worker.pk, "resume"))
    live_worker.refresh_from_db()
    assert live_worker.status == Worker.Status.ONLINE
    assert not Drain.objects.exists()
