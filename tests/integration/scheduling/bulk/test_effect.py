"""The effect that a preview shows on waits: the longest first, bounded, isolated by tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduling.bulk.effect import EFFECT_NOTES, BulkEffect
from scheduling.bulk.starting import plan_bulk_operation
from scheduling.fleet.workers import Registration
from scheduling.models import CFSPlan, FairShareNode, Job, Queue, Worker, WorkerPool
from tenants.context import Scope, all_tenants, scope_context
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.integration.scheduling.bulk.conftest import Start, take_turns
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
SECONDS = 10


def enqueue_tenants(tenant: Tenant, jobs: Sequence[Job], waiting: int) -> None:
    """Store the line as a tick leaves it: so many jobs of ten seconds each."""
    with all_tenants():
        FairShareNode.objects.filter(tenant=tenant, queue_id=jobs[0].queue_id).update(
            waiting=waiting, estimate_us=SECONDS * 10**6, is_runnable=waiting > 0
        )
        # The cost of a kind without history is estimated by its queue.
        Queue.objects.filter(pk=jobs[0].queue_id).update(expected_seconds=SECONDS)


def effect_of(tenant: Tenant | None, filter_text: str, operation: str, **parameters: Any) -> BulkEffect:
    with scope_context(Scope(tenant_id=tenant.pk if tenant else None)):
        return plan_bulk_operation(filter_text=filter_text, operation=operation, parameters=parameters).effect


@pytest.fixture
def backlog(acme: Tenant, globex: Tenant, worker: Registration) -> dict[str, list[Job]]:
    """Submit eight jobs of each tenant to four slots."""
    jobs = {tenant.slug: submit(tenant, 8) for tenant in (acme, globex)}
    for tenant in (acme, globex):
        enqueue_tenants(tenant, jobs[tenant.slug], 8)
    return jobs


@pytest.mark.usefixtures("backlog")
def test_removal_of_jobs_shortens_waits(acme: Tenant) -> None:
    for operation in ("cancel", "discard"):
        effect = effect_of(None, "tenant:acme kind:noop", operation)
        lines = {line.tenant: line for line in effect.lines}
        assert lines["acme"].after_seconds == pytest.approx(0, abs=0.01)
        assert lines["acme"].now_seconds > 8 * SECONDS / 4
        assert {line.verdict for line in effect.lines} == {"gains"}
        assert {"estimate", "waiting"} == set(effect.notes)


@pytest.mark.usefixtures("backlog")
def test_removal_of_half_a_line_shortens_its_wait(acme: Tenant, backlog: dict[str, list[Job]]) -> None:
    ids = ",".join(str(job.pk) for job in backlog["acme"][:4])
    (some,) = (line for line in effect_of(None, f"id:{ids}", "cancel").lines if line.tenant == "acme")
    assert some.now_seconds is not None
    assert some.after_seconds is not None
    assert 0 < some.after_seconds < some.now_seconds


def test_added_jobs_lengthen_waits_and_the_largest_comes_first(
    acme: Tenant, globex: Tenant, worker: Registration, start_bulk: Start
) -> None:
    dead, others = submit(acme, 8), submit(globex, 8)
    enqueue_tenants(globex, others, 8)
    start_bulk(acme, "kind:noop", "discard")
    take_turns()
    enqueue_tenants(acme, dead, 0)
    effect = effect_of(None, "state:discarded", "requeue")
    first = effect.lines[0]
    assert (first.tenant, first.verdict) == ("acme", "loses")
    assert (first.after_seconds or 0) >= 8 * SECONDS / 4
    changes = [(line.after_seconds or 0) - (line.now_seconds or 0) for line in effect.lines]
    assert changes == sorted(changes, reverse=True)
    assert "routed" in effect.notes


@pytest.mark.usefixtures("backlog")
def test_priority_change_affects_no_other_tenant(acme: Tenant) -> None:
    assert effect_of(None, "tenant:acme", "reprioritise", priority=1) == BulkEffect(notes=["own_order"])


@pytest.mark.usefixtures("backlog")
def test_tenant_sees_only_its_own_wait(acme: Tenant) -> None:
    effect = effect_of(acme, "kind:noop", "cancel")
    assert {line.tenant for line in effect.lines} == {"acme"}
    assert "own_only" in effect.notes


@pytest.mark.usefixtures("backlog")
def test_move_to_another_pool_changes_waits_in_both(acme: Tenant) -> None:
    with all_tenants():
        side = WorkerPool.objects.create(name="side")
        Queue.objects.create(name="aside", pool=side)
    effect = effect_of(None, "tenant:acme", "move_queue", queue="aside")
    verdicts = {(line.tenant, line.pool): line.verdict for line in effect.lines}
    assert verdicts["acme", "default"] == "gains"
    assert "no_slots" in effect.notes
    # Without slots nothing starts, before and after.
    assert ("acme", "side") not in verdicts


@pytest.mark.usefixtures("backlog")
def test_effect_in_order_of_arrival_is_noted(acme: Tenant) -> None:
    with all_tenants():
        CFSPlan.objects.update(is_active=False)
        CFSPlan.objects.filter(name="community").update(is_active=True)
    effect = effect_of(None, "tenant:acme", "cancel")
    assert "fifo" in effect.notes
    assert {line.verdict for line in effect.lines} == {"gains"}


@pytest.mark.usefixtures("backlog")
def test_waits_without_slots_are_unbounded(acme: Tenant) -> None:
    with all_tenants():
        Worker.objects.all().delete()
    (line,) = effect_of(acme, "kind:noop", "cancel").lines
    assert (line.now_seconds, line.after_seconds, line.verdict) == (None, None, "unchanged")


@pytest.mark.usefixtures("backlog")
def test_effect_takes_a_constant_number_of_statements(acme: Tenant) -> None:
    with CaptureQueriesContext(connection) as few:
        effect_of(None, "tenant:acme", "cancel")
    for number in range(12):
        other = create_tenant(slug=f"other-{number}", plan="team")
        enqueue_tenants(other, submit(other, 2), 2 + number)
    with CaptureQueriesContext(connection) as many:
        effect = effect_of(None, "tenant:acme", "cancel")
    assert len(many) == len(few)
    assert len(effect.lines) == 10


@pytest.mark.usefixtures("backlog")
def test_tenants_with_little_work_are_computed_together(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = effect_of(None, "tenant:acme", "cancel")
    monkeypatch.setattr("scheduling.bulk.effect.NAMED_TENANTS", 0)
    effect = effect_of(None, "tenant:acme", "cancel")
    assert [line.tenant for line in effect.lines] == ["acme"]
    assert effect.lines[0] in whole.lines


def test_effect_notes_are_sentences() -> None:
    assert all(text.endswith(".") for text in EFFECT_NOTES.values())
