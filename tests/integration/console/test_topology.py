"""Queues and pools added in the console: permissions and messages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from scheduling.fleet.workers import register_worker
from scheduling.models import CFSPlan, Queue, QueueClock, WorkerPool
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants
from tests.integration.console.admin_actions import Console, entries_of

pytestmark = pytest.mark.django_db
ADD_QUEUE = "admin:scheduling_queue_add"
ADD_POOL = "admin:scheduling_workerpool_add"


def queue_form(**typed: object) -> dict[str, object]:
    default = WorkerPool.objects.get(name="default").pk
    offered = {"name": "slow", "pool": default, "weight": 1, "expected_seconds": 1}
    return {**offered, **typed}


def test_pool_and_queue_are_added_with_a_reason(console: Console, staff: User) -> None:
    client = console(staff)
    form = {"name": "far", "memory_mib": 512, "resource_class": "io", "rate_milli": 10, "reason": "small machines"}
    assert client.post(reverse(ADD_POOL), form).status_code == 302
    pool = WorkerPool.objects.get(name="far")
    assert (pool.memory_mib, pool.resource_class, pool.rate_milli) == (512, "io", 10)
    answer = client.post(reverse(ADD_QUEUE), queue_form(pool=pool.pk, weight=3, cap=2, reason="scans"))
    assert answer.status_code == 302
    queue = Queue.objects.get(name="slow")
    assert (queue.pool, queue.weight, queue.cap) == (pool, 3, 2)
    assert QueueClock.objects.filter(queue=queue).exists()
    assert [entry.reason for entry in entries_of("worker_pool.created")] == ["small machines"]
    assert [entry.reason for entry in entries_of("queue.created")] == ["scans"]


def test_class_of_a_pool_with_a_running_worker_is_refused_beside_its_field(console: Console, staff: User) -> None:
    pool = WorkerPool.objects.get(name="default")
    register_worker(pool_name="default", hostname="near", pid=1, slots=1)
    form = {"memory_mib": 1024, "resource_class": "io", "rate_milli": 10}
    page = console(staff).post(reverse("admin:scheduling_workerpool_change", args=[pool.pk]), form)
    assert "Stop them" in str(page.context["adminform"].form.errors["resource_class"])
    pool.refresh_from_db()
    assert (pool.resource_class, pool.rate_milli) == ("cpu", 1000)


@pytest.mark.parametrize(
    ("name", "words"),
    [("dataset", "already exists"), ("Slow", "lower-case letters"), ("unacked", "broker reserves this name")],
)
def test_invalid_name_is_refused_beside_its_field(console: Console, staff: User, name: str, words: str) -> None:
    page = console(staff).post(reverse(ADD_QUEUE), queue_form(name=name))
    assert words in str(page.context["adminform"].form.errors["name"])
    assert entries_of("queue.created") == []


def test_name_and_pool_are_fixed_and_an_edit_needs_a_reason(console: Console, staff: User) -> None:
    client = console(staff)
    queue = Queue.objects.get(name="dataset")
    page = reverse("admin:scheduling_queue_change", args=[queue.pk])
    maintenance = WorkerPool.objects.get(name="maintenance").pk
    typed = queue_form(name="other", pool=maintenance, weight=7, expected_seconds=queue.expected_seconds, reason="more")
    assert client.post(page, typed).status_code == 302
    after = Queue.objects.get(pk=queue.pk)
    assert (after.name, after.pool_id, after.weight) == ("dataset", queue.pool_id, 7)
    assert [entry.reason for entry in entries_of("queue.changed")] == ["more"]


def test_weight_is_that_of_the_active_plan_and_read_only(console: Console, staff: User) -> None:
    client = console(staff)
    with all_tenants():
        CFSPlan.objects.update(is_active=False)
        plan = CFSPlan.objects.get(name="cloud")
        CFSPlan.objects.filter(pk=plan.pk).update(is_active=True)
        plan.tiers.filter(tier_id="team").update(weight=8)
        queue = plan.tiers.get(tier_id="team").queue
    listed = client.get(reverse("admin:scheduling_queue_changelist")).content.decode()
    assert '8 <span class="console-quiet">by plan cloud</span>' in listed
    page = reverse("admin:scheduling_queue_change", args=[queue.pk])
    shown = client.get(page).content.decode()
    assert f"8, set by the active CFS plan “cloud”; without it {queue.weight}." in shown
    assert 'name="weight"' not in shown
    form = {"needs": queue.needs, "expected_seconds": queue.expected_seconds, "weight": 9}
    assert client.post(page, {**form, "cap": 4, "reason": "small"}).status_code == 302
    after = Queue.objects.get(pk=queue.pk)
    assert (after.weight, after.cap) == (queue.weight, 4)


@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_user_without_the_fairness_right_sees_the_page_and_no_form(console: Console, role: str) -> None:
    person = User.objects.create_user("ola", password="correct horse battery staple", is_staff=True)
    grant_platform_role(user=person, role=role)
    client = console(person)
    for add in (ADD_QUEUE, ADD_POOL):
        assert client.get(reverse(add)).status_code == 403
        assert client.post(reverse(add), queue_form()).status_code == 403
        listed = client.get(reverse(add.replace("_add", "_changelist"))).content.decode()
        assert reverse(add) not in listed
    looked = client.get(reverse("admin:scheduling_queue_change", args=[Queue.objects.earliest("pk").pk]))
    assert looked.status_code == 200
    [(_, shown)] = looked.context["adminform"].fieldsets
    assert "reason" not in shown["fields"]


def test_member_of_a_tenant_cannot_add_queues_or_pools(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    assert client.post(reverse(ADD_QUEUE), queue_form()).status_code == 403
    assert client.post(reverse(ADD_POOL), {"name": "far"}).status_code == 403
    assert not WorkerPool.objects.filter(name="far").exists()
