"""Bulk operations: what each does to the jobs of its filter, which are ineligible, and why."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import DeadLetter, FairShareNode, Job, JobEvent, JobReady, Queue, RoutingRule, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.models import Tenant
from tests.integration.scheduling.backlog import assert_nothing_is_lost, queues_of
from tests.integration.scheduling.bulk.conftest import STELLA, Start, reload_operation, take_turns
from tests.integration.scheduling.job_helpers import Start as StartJob
from tests.integration.scheduling.job_helpers import Tick, begin, fail, reload, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def states_of(jobs: list[Job]) -> Counter[str]:
    with all_tenants():
        return Counter(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("state", flat=True))


def test_cancel_changes_waiting_jobs_and_counts_ended_ones(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    jobs = submit(acme, 4)
    with tenant_context(acme):
        cancel_job(job_id=jobs[0].pk)
    others = submit(acme, 2, kind="sleep", payload={"seconds": 1})
    operation = start_bulk(acme, "kind:noop", "cancel")
    take_turns()
    operation = reload_operation(operation)
    assert (operation.state, operation.seen, operation.changed) == ("completed", 4, 3)
    assert operation.ineligible == {"cancelled": 1}
    assert states_of(jobs) == {"cancelled": 4}
    assert states_of(others) == {"available": 2}
    with all_tenants():
        event = JobEvent.objects.get(job_id=jobs[1].pk, name="job.cancelled")
        assert (event.actor, event.request_id, event.data) == ("user:alice", "r1", {"reason": "a test"})
    assert_nothing_is_lost(pool)


def test_cancel_requests_a_running_job_to_stop(
    acme: Tenant, worker: Registration, tick: Tick, start: StartJob, start_bulk: Start
) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    start_bulk(acme, "state:executing", "cancel")
    take_turns()
    with all_tenants():
        assert JobEvent.objects.filter(job_id=job.pk, name="job.cancel_requested").exists()


def test_retry_ends_a_backoff_and_reruns_dead_jobs(
    acme: Tenant, worker: Registration, tick: Tick, start: StartJob, start_bulk: Start
) -> None:
    backing_off, dead, done = submit(acme, 3)
    tick()
    fail(start, backing_off)
    fail(start, dead, is_permanent=True)
    operation = start_bulk(acme, "kind:noop", "retry")
    take_turns()
    operation = reload_operation(operation)
    assert (operation.changed, operation.ineligible) == (2, {"dispatched": 1})
    assert reload(backing_off).state == JobState.AVAILABLE
    with all_tenants():
        assert Job.objects.get(parent_id=dead.pk).state == JobState.AVAILABLE
        assert DeadLetter.objects.get(job_id=dead.pk).requeued_at is not None
    again = start_bulk(acme, f"id:{dead.pk},{done.pk}", "requeue")
    take_turns()
    again = reload_operation(again)
    assert (again.changed, again.ineligible) == (0, {"dispatched": 1, "invalid_transition": 1})


def test_discard_makes_dead_letters_that_can_be_requeued(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    jobs = submit(acme, 2)
    start_bulk(acme, "kind:noop", "discard")
    take_turns()
    assert states_of(jobs) == {"discarded": 2}
    with all_tenants():
        letters = DeadLetter.objects.filter(job_id__in=[job.pk for job in jobs])
        assert {letter.reason for letter in letters} == {DeadLetter.Reason.DISCARDED}
    assert_nothing_is_lost(pool)
    start_bulk(acme, "state:discarded", "requeue")
    take_turns()
    with all_tenants():
        assert Job.objects.filter(parent_id__in=[job.pk for job in jobs], state=JobState.AVAILABLE).count() == 2


def test_reprioritise_moves_jobs_ahead_in_every_waiting_state(
    acme: Tenant, pool: WorkerPool, start_bulk: Start
) -> None:
    first, second = submit(acme, 2)
    (later,) = submit(acme, run_at=read_moment() + timedelta(hours=1))
    (stopped,) = submit(acme)
    (already,) = submit(acme, priority=2)
    with tenant_context(acme):
        suspend_job(job_id=stopped.pk)
    ids = ",".join(str(job.pk) for job in (second, later, stopped, already))
    operation = start_bulk(acme, f"id:{ids}", "reprioritise", parameters={"priority": 2})
    take_turns()
    operation = reload_operation(operation)
    assert (operation.changed, operation.ineligible) == (3, {"unchanged": 1})
    fresh = submit(acme, priority=2)[0]
    assert reload(second).priority == 2
    assert reload(second).rank < reload(first).rank
    # As if they had been submitted with it.
    assert reload(second).rank - second.rank == fresh.rank - submit(acme)[0].rank
    with tenant_context(acme):
        resume_job(job_id=stopped.pk)
    with all_tenants():
        ranks = {row.job_id: row.rank for row in JobReady.objects.all()}
        assert all(ranks[job_id] == Job.objects.get(pk=job_id).rank for job_id in ranks)
        assert reload(stopped).priority == 2
    assert_nothing_is_lost(pool)


def test_reprioritise_beyond_the_plan_changes_no_job(acme: Tenant, start_bulk: Start) -> None:
    submit(acme, 2)
    operation = start_bulk(acme, "kind:noop", "reprioritise", parameters={"priority": 30_000})
    take_turns()
    assert reload_operation(operation).ineligible == {"priority_not_allowed": 2}


def test_move_queue_of_the_platform_moves_jobs_to_any_queue(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    ready = submit(acme, 3)
    keyed = submit(acme, 2, fair_key="a")
    due = submit(acme, 2, run_at=read_moment() + timedelta(hours=1))
    (stopped,) = submit(acme, fair_key="gone")
    with tenant_context(acme):
        suspend_job(job_id=stopped.pk)
    with all_tenants():
        target = Queue.objects.create(name="aside", pool=pool)
    operation = start_bulk(None, "tenant:acme", "move_queue", parameters={"queue": "aside"})
    take_turns()
    operation = reload_operation(operation)
    assert (operation.changed, operation.ineligible) == (8, {})
    assert queues_of([*ready, *keyed, *due, stopped]) == {"aside": 8}
    with tenant_context(acme):
        resume_job(job_id=stopped.pk)
    with all_tenants():
        waiting = JobReady.objects.filter(job_id__in=[job.pk for job in (*ready, *keyed, stopped)])
        assert {FairShareNode.objects.get(pk=row.entity_id).queue_id for row in waiting} == {target.pk}
    assert_nothing_is_lost(pool)


def test_move_queue_of_a_tenant_obeys_routing(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    jobs = submit(acme, 2)
    with all_tenants():
        Queue.objects.create(name="aside", pool=pool)
        fast = Queue.objects.create(name="fast", pool=pool)
    forbidden = start_bulk(acme, "kind:noop", "move_queue", parameters={"queue": "aside"})
    take_turns()
    assert reload_operation(forbidden).ineligible == {"queue_not_allowed": 2}
    with all_tenants():
        RoutingRule.objects.create(position=1, kind="noop", queue=fast)
    start_bulk(acme, "kind:noop", "move_queue", parameters={"queue": "fast"})
    take_turns()
    assert queues_of(jobs) == {"fast": 2}
    assert_nothing_is_lost(pool)


def test_running_jobs_are_neither_moved_nor_changed(
    acme: Tenant, worker: Registration, tick: Tick, start_bulk: Start
) -> None:
    jobs = submit(acme, 2)
    tick()
    for operation, parameters in (
        ("reprioritise", {"priority": 1}),
        ("move_queue", {"queue": "aside"}),
        ("discard", {}),
    ):
        if operation == "move_queue":
            with all_tenants():
                Queue.objects.create(name="aside", pool=WorkerPool.objects.get(name="default"))
        row = start_bulk(acme, "kind:noop", operation, parameters=parameters, actor=STELLA)
        take_turns()
        assert (reload_operation(row).changed, reload_operation(row).ineligible) == (0, {"dispatched": 2})
    assert states_of(jobs) == {"dispatched": 2}
