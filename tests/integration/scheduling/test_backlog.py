"""Reroutes of the backlog after a change of the edition: no job is lost or doubled, and counters stay exact."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from scheduling.bulk import reroute, starting
from scheduling.bulk.reroute import MOVE_ROWS, start_reroute
from scheduling.bulk.stopping import abort_bulk_operation, undo_bulk_operation
from scheduling.bulk.turns import MAX_FAILURES, note_failure, open_operations
from scheduling.dispatch.tick import run_tick
from scheduling.exceptions import BulkNotUndoableError, InvalidTransitionError
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import (
    BulkOperation,
    CFSPlan,
    FairShareNode,
    Job,
    JobDue,
    JobEvent,
    JobHeld,
    JobReady,
    Queue,
    RoutingRule,
    Wake,
    WorkerPool,
)
from scheduling.plans.service import CFS_PLANS, TierRow, update_cfs_plan
from scheduling.stops.pauses import pause_kind
from scheduling.topology.service import update_routing_rule
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tests.integration.scheduling.backlog import (
    activate,
    assert_nothing_is_lost,
    move_all,
    move_turn,
    queues_of,
    reroutes,
)
from tests.integration.scheduling.job_helpers import Tick, complete, fail, in_flight, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout", "no_settle_delay")]


def test_backlog_moves_both_ways_with_all_waiting_jobs(acme: Tenant, globex: Tenant, pool: WorkerPool) -> None:
    ready = submit(acme, 30)
    due = submit(acme, 5, run_at=read_moment() + timedelta(hours=1))
    stopped = submit(acme, 3)
    others = submit(globex, 7)
    with tenant_context(acme):
        for job in stopped:
            suspend_job(job_id=job.pk)
    ranks = {job.pk: job.rank for job in ready}
    run_tick(pool.pk)
    activate("community")
    assert move_all() == 45
    assert queues_of([*ready, *due, *stopped, *others]) == {"tasks": 45}
    with all_tenants():
        assert dict(JobReady.objects.filter(job_id__in=ranks).values_list("job_id", "rank")) == ranks
    assert_nothing_is_lost(pool)
    activate("cloud")
    assert move_all() == 45
    assert queues_of([*ready, *due, *stopped]) == {"tasks_team": 38}
    assert queues_of(others) == {"tasks_sandbox": 7}
    assert_nothing_is_lost(pool)


def test_job_becoming_ready_during_a_pass_moves_in_the_same_pass(
    acme: Tenant, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reroute, "TURN_SECONDS", 0.0)  # one step per turn
    due = submit(acme, run_at=read_moment() + timedelta(hours=1))
    stopped = submit(acme)
    with tenant_context(acme):
        suspend_job(job_id=stopped[0].pk)
    activate("community")
    assert move_turn() == 0
    with all_tenants():
        assert reroutes().get().position["phase"] == "due"
        JobDue.objects.update(due_at=read_moment() - timedelta(hours=1))
    run_tick(pool.pk)
    with tenant_context(acme):
        resume_job(job_id=stopped[0].pk)
    assert move_all() == 2
    assert queues_of([*due, *stopped]) == {"tasks": 2}
    assert_nothing_is_lost(pool)


def test_held_job_of_a_paused_kind_moves(acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick) -> None:
    jobs = submit(acme, 5)
    pause_kind(kind="noop", reason="x")
    tick()
    with all_tenants():
        assert JobHeld.objects.count() == 5
    activate("community")
    move_all()
    assert queues_of(jobs) == {"tasks": 5}
    with all_tenants():
        assert JobHeld.objects.count() == 5
    assert_nothing_is_lost(pool)


def test_job_too_large_for_its_pool_moves_behind_the_new_gate(acme: Tenant, pool: WorkerPool) -> None:
    (job,) = submit(acme)
    with all_tenants():
        ready = JobReady.objects.get(job_id=job.pk)
        columns = {name: getattr(ready, name) for name in ("tenant_id", "entity_id", "kind", "rank", "job_id")}
        JobReady.objects.filter(job_id=job.pk).delete()
        JobHeld.objects.create(gate=f"memory {pool.pk}", **columns)
        larger = WorkerPool.objects.create(name="larger")
        queue = Queue.objects.create(name="larger", pool=larger)
        RoutingRule.objects.create(position=1, kind="noop", queue=queue)
    with all_tenants():
        start_reroute(reason="it needs more memory")
    assert move_all() == 1
    with all_tenants():
        assert JobHeld.objects.get(job_id=job.pk).gate == f"memory {larger.pk}"


def test_dispatched_and_running_jobs_do_not_move(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Any
) -> None:
    jobs = submit(acme, 10)
    tick()
    running = in_flight()
    activate("community")
    assert move_all() == 10 - len(running) > 0
    assert queues_of(running) == {"tasks_team": len(running)}
    complete(start, running[0])
    fail(start, running[1])
    assert_nothing_is_lost(pool)
    assert queues_of(jobs)["tasks"] == 10 - len(running)


def test_jobs_of_fair_keys_move_to_lines_of_their_keys(acme: Tenant, pool: WorkerPool) -> None:
    keyed = [job for key in ("ada", "bob") for job in submit(acme, 6, fair_key=key)]
    due = submit(acme, 2, fair_key="ada", run_at=read_moment() + timedelta(hours=1))
    stopped = submit(acme, 1, fair_key="eve")
    own = submit(acme, 3)
    with tenant_context(acme):
        suspend_job(job_id=stopped[0].pk)
    run_tick(pool.pk)
    activate("community")
    assert move_all() == 18
    assert queues_of([*keyed, *due, *stopped, *own]) == {"tasks": 18}
    with all_tenants():
        lines = FairShareNode.objects.filter(queue__name="tasks")
        found = {line.fair_key: JobReady.objects.filter(entity_id=line.pk).count() for line in lines}
    assert found == {"": 3, "ada": 6, "bob": 6}
    assert_nothing_is_lost(pool)
    with tenant_context(acme):
        resume_job(job_id=stopped[0].pk)
        cancel_job(job_id=keyed[0].pk)
    assert_nothing_is_lost(pool)


def test_move_is_an_event_of_the_job(acme: Tenant) -> None:
    (job,) = submit(acme)
    activate("community")
    move_all()
    with all_tenants():
        event = JobEvent.objects.get(job_id=job.pk, name="job.moved")
    assert event.state == "available"
    assert event.data == {"from": "tasks_team", "to": "tasks", "cause": "the CFS plan community is active"}


def test_backlog_moves_with_an_edited_tier_row_and_its_rollback(acme: Tenant) -> None:
    jobs = submit(acme, 4)
    plan = CFSPlan.objects.get(name="cloud")
    other = Queue.objects.get(name="tasks")
    rows = list(plan.tiers.all())
    tiers = [TierRow(row.tier_id, other.pk if row.tier_id == "team" else row.queue_id, row.weight) for row in rows]
    update_cfs_plan(plan=plan, fields={}, tiers=tiers)
    move_all()
    assert queues_of(jobs) == {"tasks": 4}
    CFS_PLANS.roll_back(plan, 1, reason="x")
    move_all()
    assert queues_of(jobs) == {"tasks_team": 4}


def test_change_of_weights_alone_moves_nothing() -> None:
    plan = CFSPlan.objects.get(name="cloud")
    update_cfs_plan(plan=plan, fields={"granularity_seconds": 60})
    with all_tenants():
        assert not reroutes().exists()


def test_edited_rules_apply_to_waiting_jobs_on_request(acme: Tenant) -> None:
    small, large = submit(acme, 3, payload={"seconds": 1}), submit(acme, 3, payload={"seconds": 90})
    rule = RoutingRule.objects.get(kind="", by_tier=True)
    condition = {"field": "seconds", "op": "gt", "value": 60}
    with all_tenants():
        RoutingRule.objects.create(
            position=1, kind="noop", queue=Queue.objects.get(name="pipeline"), condition=condition
        )
    update_routing_rule(rule=rule, changes={"allows_queue_choice": True})
    assert queues_of(large) == {"tasks_team": 3}
    with all_tenants():
        start_reroute(reason="long ones apart")
    assert move_all() == 3
    assert (queues_of(small), queues_of(large)) == ({"tasks_team": 3}, {"pipeline": 3})


def test_queue_named_by_the_tenant_is_kept(acme: Tenant) -> None:
    with all_tenants():
        RoutingRule.objects.create(
            position=1, kind="noop", queue=Queue.objects.get(name="pipeline"), allows_queue_choice=True
        )
        RoutingRule.objects.create(position=2, kind="noop", queue=Queue.objects.get(name="dataset"))
    jobs = submit(acme, 2, queue="dataset")
    with all_tenants():
        start_reroute(reason="x")
    assert move_all() == 0
    assert queues_of(jobs) == {"dataset": 2}


def test_turn_moves_a_bounded_number_of_rows_and_the_next_continues(
    acme: Tenant, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reroute, "MOVE_ROWS", 7)
    jobs = submit(acme, 30)
    activate("community")
    assert [move_turn() for _ in range(5)] == [7, 7, 7, 7, 2]
    with all_tenants():
        assert reroutes().get().changed == 30
    move_all()
    assert queues_of(jobs) == {"tasks": 30}
    assert MOVE_ROWS == 1_000


def test_killed_turn_is_repeated(acme: Tenant, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = submit(acme, 20)
    activate("community")
    monkeypatch.setattr(reroute, "MOVE_ROWS", 8)

    class Killed(BaseException): ...

    def die(*_: object) -> None:
        raise Killed

    move_turn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BulkOperation, "save", die)
        with pytest.raises(Killed):
            move_turn()
    assert queues_of(jobs) == {"tasks": 8, "tasks_team": 12}
    move_all()
    assert queues_of(jobs) == {"tasks": 20}
    assert_nothing_is_lost(pool)


def test_open_reroute_is_superseded_by_the_next(acme: Tenant) -> None:
    submit(acme, 3)
    activate("community")
    activate("cloud")
    with all_tenants():
        states = list(reroutes().order_by("id").values_list("state", "expected"))
    assert states == [("aborted", 3), ("pending", 3)]
    assert move_all() == 0
    with all_tenants():
        assert list(reroutes().order_by("id").values_list("state", flat=True)) == ["aborted", "completed"]


def test_reroute_is_neither_limited_nor_aborted_nor_undone(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "MAX_OPEN", 1)
    submit(acme)
    activate("community")
    with all_tenants():
        operation = reroutes().get()
        with pytest.raises(InvalidTransitionError):
            abort_bulk_operation(operation_id=operation.pk, reason="no")
        started = starting.start_bulk_operation(
            filter_text="tag:absent", operation="cancel", parameters={}, reason="beside it"
        )
        assert started.is_open
    move_all()
    with all_tenants(), pytest.raises(BulkNotUndoableError):
        undo_bulk_operation(operation_id=operation.pk, reason="no")
    with tenant_context(acme), pytest.raises(FieldInvalidError):
        start_reroute(reason="of one tenant")


def test_reroute_is_retried_after_any_number_of_failures(acme: Tenant) -> None:
    submit(acme)
    activate("community")
    (opened,) = open_operations()
    for _ in range(MAX_FAILURES + 1):
        note_failure(opened, RuntimeError("no"))
    with all_tenants():
        assert (reroutes().get().state, reroutes().get().failures) == ("pending", MAX_FAILURES)
        reroutes().update(resume_at=None)
    assert move_all() == 1


def test_submissions_by_the_old_routes_are_moved_by_a_later_pass(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a pass if one began before open submissions were over."""
    monkeypatch.setattr(reroute, "SETTLE_SECONDS", 3_600.0)
    activate("community")
    for _ in range(20):
        move_turn()
    with all_tenants():
        operation = reroutes().get()
    assert operation.is_open
    assert operation.position["passes"] == 1
    assert operation.resume_at == operation.created_at + timedelta(hours=1)
    late = submit(acme, 2)
    with all_tenants():  # a job routed before and committed after the first pass
        old = Queue.objects.get(name="tasks_team")
        entity = FairShareNode.objects.get(queue__name="tasks")
        Job.objects.filter(pk__in=[job.pk for job in late]).update(queue=old)
        FairShareNode.objects.filter(pk=entity.pk).update(queue=old)
        Wake.objects.update(queue_id=old.pk)
        reroutes().update(resume_at=None)
    monkeypatch.setattr(reroute, "SETTLE_SECONDS", 0.0)
    assert move_all() == 2
    assert queues_of(late) == {"tasks": 2}


def test_command_prints_the_progress_of_a_move(acme: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    submit(acme, 3)
    call_command("move_backlog", reason="drill", json=True)
    assert '"state": "pending"' in capsys.readouterr().out
    move_all()
    call_command("move_backlog", json=True)
    assert '"state": "completed"' in capsys.readouterr().out
