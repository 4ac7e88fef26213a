"""Prefetch lists: jobs of one message that run one after another, each settled on its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from scheduling import signals
from scheduling.execution import message, prefetch_list, processing
from scheduling.execution.holds import read_hold, settle_and_begin
from scheduling.execution.message import execute
from scheduling.execution.settlement import SettledExecution, settle
from scheduling.execution.settlement_builders import returned
from scheduling.execution.start import StartedExecution, StartedTurn, start_executions
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.kit.base import Dependency, JobContext
from scheduling.models import Batch, Charge, CircuitNews, Execution, Job, JobEvent, JobLog, LiveExecution
from scheduling.worker.child_exit import ExitCause, settlements_of_hold, settlements_of_overdue
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import beside, reload, submit
from tests.integration.scheduling.worker.conftest import Merge, RunMerged, outcomes, raising
from tests.integration.scheduling.worker.test_holds import locked
from tests.integration.scheduling.worker.test_merged import check_unblamed, states

pytestmark = pytest.mark.django_db(transaction=True)

type SetProcessor = Callable[..., None]


def submit_each(tenant: Tenant, *hows: str, **options: object) -> list[Job]:
    return [submit(tenant, kind="scripted", payload={"how": how}, **options)[0] for how in hows]


def acting(seen: list[str], **acts: Callable[[], object]) -> Callable[[JobContext], None]:
    """Return a processor that notes the payload of its job and does what is given for it."""

    def process(context: JobContext) -> None:
        how = context.payload["how"]
        seen.append(how)
        if how in acts:
            acts[how]()

    return process


def executions_of(jobs: Sequence[Job]) -> list[Execution]:
    with all_tenants():
        return [Execution.objects.get(job_id=job.pk) for job in jobs]


def started_events(jobs: Sequence[Job]) -> list[int]:
    with all_tenants():
        return [JobEvent.objects.filter(job_id=job.pk, name="execution.started").count() for job in jobs]


def live_of(job: Job) -> LiveExecution:
    with all_tenants():
        return LiveExecution.objects.get(job_id=job.pk)


def test_members_run_in_order_each_in_its_own_tenants_context(
    acme: Tenant, globex: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    seen: list[tuple[UUID, int]] = []

    def process(context: JobContext) -> dict[str, str]:
        context.log("mine")
        context.checkpoint({}, lambda: seen.append((context.tenant_id, Batch.objects.count())))
        return {"tenant": str(context.tenant_id)}

    with tenant_context(globex):
        Batch.objects.create(label="globex's", kind="noop", total=1)
    set_processor(process)
    jobs = [submit(tenant, kind="scripted")[0] for tenant in (acme, globex, acme)]
    done = run_list(jobs)
    assert states(done) == ["completed"] * 3
    assert seen == [(acme.pk, 0), (globex.pk, 1), (acme.pk, 0)]
    assert [job.result for job in done] == [{"tenant": str(job.tenant_id)} for job in done]
    with all_tenants():
        assert {(line.tenant_id, line.job_id) for line in JobLog.objects.all()} == {(j.tenant_id, j.pk) for j in done}
    assert started_events(jobs) == [1, 1, 1]
    assert faults_of("counters", "ready") == []


def test_each_member_is_settled_by_a_transaction_of_its_own_before_the_next_runs(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    seen: list[list[str]] = []
    set_processor(lambda context: seen.append(states([reload(job) for job in jobs])))
    jobs = submit(acme, 3, kind="scripted")
    run_list(jobs)
    assert seen == [
        ["executing", "dispatched", "dispatched"],
        ["completed", "executing", "dispatched"],
        ["completed", "completed", "executing"],
    ]
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT xmin::text) FROM scheduling_execution")
        assert cursor.fetchone() == (3,)


def test_list_takes_one_round_trip_a_member(
    acme: Tenant, local: LocalWorker, enlist: Merge, django_assert_max_num_queries: Callable[..., object]
) -> None:
    execution_ids, token = enlist(submit(acme, 20, kind="scripted"))
    # Settings and statement, which are sent together, for each; and the start with its transaction.
    with django_assert_max_num_queries(2 * 20 + 4):  # type: ignore[attr-defined]
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)


def test_cost_of_a_member_counts_from_the_end_of_its_predecessor(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    set_processor(lambda context: time.sleep(0.2))
    jobs = submit(acme, 3, kind="scripted")
    run_list(jobs)
    executions = executions_of(jobs)
    assert all(execution.measured_us >= 200_000 for execution in executions)
    for before, after in pairwise(executions):
        assert after.started_at is not None
        # The slot's time has no gap and no overlap of a member's work, only the way of a statement to the server.
        assert abs(after.started_at - before.ended_at) < timedelta(seconds=0.2)
    with all_tenants():
        for job, execution in zip(jobs, executions, strict=True):
            charged = sum(Charge.objects.filter(job_id=job.pk).values_list("microseconds", flat=True))
            assert charged == execution.measured_us


def test_telemetry_signals_name_each_member(acme: Tenant, globex: Tenant, run_list: RunMerged) -> None:
    signalled: list[tuple[str, UUID]] = []

    def on_start(sender: object, *, executions: Sequence[StartedTurn], **_: object) -> None:
        signalled.extend(("started", one.job_id) for one in executions)

    def on_end(sender: object, *, executions: Sequence[SettledExecution], **_: object) -> None:
        signalled.extend(("ended", one.job_id) for one in executions)

    signals.executions_started.connect(on_start)
    signals.executions_ended.connect(on_end)
    try:
        jobs = submit(acme, kind="scripted") + submit(globex, kind="scripted")
        run_list(jobs)
    finally:
        signals.executions_started.disconnect(on_start)
        signals.executions_ended.disconnect(on_end)
    assert signalled == [(what, job.pk) for job in jobs for what in ("started", "ended")]


def test_failing_observer_affects_no_member(acme: Tenant, run_list: RunMerged) -> None:
    failing = raising(LookupError("no such counter"))
    signals.executions_ended.connect(failing)
    try:
        assert states(run_list(submit(acme, 2, kind="scripted"))) == ["completed"] * 2
    finally:
        signals.executions_ended.disconnect(failing)


def test_failing_member_affects_no_other(acme: Tenant, run_list: RunMerged, set_processor: SetProcessor) -> None:
    set_processor(acting([], fail=raising(ValueError("no"))))
    done = run_list(submit_each(acme, "pass", "fail", "pass"))
    assert states(done) == ["completed", "retryable", "completed"]
    assert [job.attempt for job in done] == [0, 1, 0]


def test_member_with_failing_effects_affects_no_other(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    def process(context: JobContext) -> None:
        how = context.payload["how"]
        context.in_settlement(lambda: Batch.objects.create(label=how, kind="scripted", total=1))
        if how == "fail":
            context.in_settlement(raising(LookupError("no such row")))  # type: ignore[arg-type]

    set_processor(process)
    done = run_list(submit_each(acme, "first", "fail", "last"))
    assert states(done) == ["completed", "retryable", "completed"]
    assert done[1].error_type == "LookupError"
    with tenant_context(acme):
        assert sorted(Batch.objects.values_list("label", flat=True)) == ["first", "last"]


def test_member_with_a_dependency_affects_no_other(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    def process(context: JobContext) -> None:
        if context.payload["how"] == "call":
            with context.dependency(Dependency("api.example.com")):
                raise TimeoutError("no answer")

    set_processor(process)
    assert states(run_list(submit_each(acme, "pass", "call", "pass"))) == ["completed", "retryable", "completed"]
    with all_tenants():
        assert CircuitNews.objects.filter(dependency="api.example.com").exists()


def test_member_whose_deadline_passes_while_it_waits_is_discarded(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    seen: list[str] = []
    deadline = timezone.now() + timedelta(seconds=3)

    def wait() -> None:
        while timezone.now() < deadline:
            time.sleep(0.01)

    set_processor(acting(seen, wait=wait))
    jobs = submit_each(acme, "wait") + submit_each(acme, "late", deadline=deadline) + submit_each(acme, "last")
    assert states(run_list(jobs)) == ["completed", "discarded", "completed"]
    assert seen == ["wait", "last"]


def test_member_leaving_a_transaction_open_returns_the_rest(
    acme: Tenant, local: LocalWorker, enlist: Merge, set_processor: SetProcessor
) -> None:
    def leave() -> None:
        transaction.atomic().__enter__()
        raise ValueError("in the middle of a transaction")

    set_processor(acting([], leave=leave))
    jobs = submit_each(acme, "pass", "leave", "wait")
    execution_ids, token = enlist(jobs)
    with pytest.raises(SystemExit):
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    done = [reload(job) for job in jobs]
    assert states(done) == ["completed", "retryable", "available"]
    check_unblamed(done[2])
    assert list(local.block.held_slots()) == []


def test_stopping_worker_returns_the_rest(
    acme: Tenant, local: LocalWorker, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    set_processor(acting([], stop=local.block.stop))
    done = run_list(submit_each(acme, "pass", "stop", "wait"))
    assert [outcomes(job) for job in done] == [["completed"], ["completed"], ["returned"]]
    check_unblamed(done[2])


def test_members_cancelled_or_returned_while_they_wait_are_passed_over(
    acme: Tenant, globex: Tenant, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    seen: list[str] = []

    def take_from_list() -> None:
        def act() -> None:
            with tenant_context(acme):
                cancel_jobs(job_ids=[jobs[1].pk])
            live = live_of(jobs[2])
            assert settle([returned(live.pk, live.fence, cause="another tenant comes first")])

        beside(act).join(20)

    set_processor(acting(seen, take=take_from_list))
    jobs = submit_each(acme, "take", "cancelled", "returned", "next") + submit_each(globex, "last")
    done = run_list(jobs)
    assert states(done) == ["completed", "cancelled", "available", "completed", "completed"]
    assert seen == ["take", "next", "last"]
    check_unblamed(done[2])


def test_member_locked_at_its_turn_runs_last(acme: Tenant, run_list: RunMerged, set_processor: SetProcessor) -> None:
    seen: list[str] = []
    jobs = submit_each(acme, "lock", "locked", "release", "third")
    with ExitStack() as locks:

        def lock() -> None:
            locks.enter_context(locked([live_of(jobs[1]).pk]))

        set_processor(acting(seen, lock=lock, release=locks.close))
        assert states(run_list(jobs)) == ["completed"] * 4
    assert seen == ["lock", "release", "third", "locked"]


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_settlement_without_an_answer_repeats_and_loses_no_member(
    acme: Tenant,
    run_list: RunMerged,
    set_processor: SetProcessor,
    monkeypatch: pytest.MonkeyPatch,
    is_committed: bool,
    place: int,
) -> None:
    seen: list[str] = []
    calls: list[object] = []

    def unanswered(*settlement: object, **options: object) -> object:
        calls.append(None)
        if len(calls) - 1 != place:
            return settle_and_begin(*settlement, **options)  # type: ignore[arg-type]
        if is_committed:
            settle_and_begin(*settlement, **options)  # type: ignore[arg-type]
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(prefetch_list, "settle_and_begin", unanswered)
    set_processor(acting(seen))
    jobs = submit_each(acme, "first", "second", "third")
    done = run_list(jobs)
    assert states(done) == ["completed"] * 3
    assert seen == ["first", "second", "third"]
    assert [outcomes(job) for job in done] == [["completed"]] * 3
    assert started_events(jobs) == [1, 1, 1]


def test_list_ends_if_a_settlement_stays_unanswered(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is still at work in the database, so no second may begin in its slot."""
    seen: list[str] = []

    def away(*_: object, **__: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(prefetch_list, "settle_and_begin", away)
    monkeypatch.setattr(processing, "settle_executions", away)
    monkeypatch.setattr(processing, "SETTLE_PATIENCE_SECONDS", 0.0)
    set_processor(acting(seen))
    jobs = submit_each(acme, "first", "second", "third")
    assert states(run_list(jobs)) == ["executing", "available", "available"]
    assert seen == ["first"]


def test_list_whose_first_was_taken_before_its_start_was_answered_begins_the_second(
    acme: Tenant, run_list: RunMerged, set_processor: SetProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    calls: list[object] = []

    def unanswered(**options: Any) -> list[StartedExecution]:
        started = start_executions(**options)
        calls.append(None)
        if len(calls) == 1:
            settle([returned(started[0].execution_id, started[0].fence, cause="taken")])
            raise OperationalError("the server closed the connection unexpectedly")
        return started

    monkeypatch.setattr(message, "start_executions", unanswered)
    set_processor(acting(seen))
    jobs = submit_each(acme, "first", "second", "third")
    assert states(run_list(jobs)) == ["available", "completed", "completed"]
    assert seen == ["second", "third"]


def test_superseded_member_ends_the_list_that_has_nothing_left(
    acme: Tenant, local: LocalWorker, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    """The worker was believed dead, and the sweep has settled all that it had."""
    seen: list[str] = []

    def lose() -> None:
        def act() -> None:
            with all_tenants():
                rows = list(LiveExecution.objects.all())
            settle([returned(row.pk, row.fence, cause="lost") for row in rows])

        beside(act).join(20)

    set_processor(acting(seen, lose=lose))
    done = run_list(submit_each(acme, "lose", "next"))
    assert states(done) == ["available", "available"]
    assert seen == ["lose"]


def ended_child(local: LocalWorker, enlist: Merge, jobs: Sequence[Job]) -> list[UUID]:
    """Run a list whose processor ends its process; return its executions."""
    execution_ids, token = enlist(jobs)
    with pytest.raises(SystemExit):
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    return execution_ids


def end_by_parent(local: LocalWorker, finding: ExitCause) -> None:
    """Settle what the child had, as its parent does."""
    (held,) = local.block.held_slots()
    assert not held.has_fences
    left = read_hold(hold_id=held.hold_id, worker_id=local.registration.worker_id)
    settle(settlements_of_hold(held, left, finding))
    assert read_hold(hold_id=held.hold_id, worker_id=local.registration.worker_id) == []


@pytest.mark.parametrize(
    ("finding", "state", "crash_count"),
    [(ExitCause.CRASHED, "available", 1), (ExitCause.SHUT_DOWN, "available", 0), (ExitCause.TIMED_OUT, "retryable", 0)],
)
def test_only_the_member_that_ends_its_process_is_blamed(
    acme: Tenant,
    local: LocalWorker,
    enlist: Merge,
    set_processor: SetProcessor,
    finding: ExitCause,
    state: str,
    crash_count: int,
) -> None:
    set_processor(acting([], exit=raising(SystemExit(3))))
    jobs = submit_each(acme, "pass", "exit", "wait")
    ended_child(local, enlist, jobs)
    assert states([reload(job) for job in jobs]) == ["completed", "executing", "available"]
    end_by_parent(local, finding)
    done = [reload(job) for job in jobs]
    assert states(done) == ["completed", state, "available"]
    assert [job.crash_count for job in done] == [0, crash_count, 0]
    check_unblamed(done[2])
    assert faults_of("ledger", "executions") == []


def test_killed_child_leaves_waiting_members_to_its_parent(
    acme: Tenant, local: LocalWorker, enlist: Merge, set_processor: SetProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed process returns nothing.
    monkeypatch.setattr(prefetch_list.PrefetchList, "finish", lambda self: None)
    set_processor(acting([], exit=raising(SystemExit(3))))
    jobs = submit_each(acme, "pass", "exit", "wait", "wait")
    ended_child(local, enlist, jobs)
    end_by_parent(local, ExitCause.CRASHED)
    done = [reload(job) for job in jobs]
    assert [outcomes(job) for job in done] == [["completed"], ["crashed"], ["returned"], ["returned"]]
    for job in done[2:]:
        check_unblamed(job)


def test_member_that_began_and_never_ran_is_not_blamed(
    acme: Tenant, local: LocalWorker, enlist: Merge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is killed after the commit of a settlement and before it reads the answer."""

    def killed(*settlement: object, **options: object) -> object:
        settle_and_begin(*settlement, **options)  # type: ignore[arg-type]
        raise SystemExit(9)

    monkeypatch.setattr(prefetch_list, "settle_and_begin", killed)
    monkeypatch.setattr(prefetch_list.PrefetchList, "finish", lambda self: None)
    jobs = submit_each(acme, "first", "second", "third")
    ended_child(local, enlist, jobs)
    assert states([reload(job) for job in jobs]) == ["completed", "executing", "dispatched"]
    end_by_parent(local, ExitCause.CRASHED)
    done = [reload(job) for job in jobs]
    assert states(done) == ["completed", "available", "available"]
    for job in done[1:]:
        check_unblamed(job)
    assert faults_of("ledger", "executions") == []


def test_poison_member_is_quarantined_after_three_crashes_of_its_own(
    acme: Tenant, local: LocalWorker, enlist: Merge, set_processor: SetProcessor
) -> None:
    set_processor(acting([], exit=raising(SystemExit(3))))
    (poison,) = submit_each(acme, "exit")
    for _ in range(3):
        before, after = submit_each(acme, "before", "after")
        ended_child(local, enlist, [before, poison, after])
        end_by_parent(local, ExitCause.CRASHED)
        (held,) = local.block.held_slots()
        local.block.vacate(held)
        assert states([reload(before), reload(after)]) == ["completed", "available"]
        with tenant_context(acme):
            cancel_jobs(job_ids=[after.pk])
    assert (reload(poison).state, reload(poison).crash_count) == ("quarantined", 3)


def test_overdue_list_is_returned_while_its_member_runs(
    acme: Tenant, local: LocalWorker, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    def overrun() -> None:
        (held,) = local.block.held_slots()
        assert held.due_ns
        assert held.is_overdue(held.due_ns + 1)
        assert not held.is_overdue(held.due_ns - 1)
        left = read_hold(hold_id=held.hold_id, worker_id=local.registration.worker_id)
        beside(lambda: settle(settlements_of_overdue(left))).join(20)  # type: ignore[arg-type, return-value]
        assert states([reload(job) for job in jobs]) == ["executing", "available", "available"]

    set_processor(acting([], overrun=overrun))
    jobs = submit_each(acme, "overrun", "wait", "wait")
    done = run_list(jobs)
    assert states(done) == ["completed", "available", "available"]
    for job in done[1:]:
        check_unblamed(job)


def test_list_whose_slot_stays_used_is_returned(
    acme: Tenant, local: LocalWorker, run_list: RunMerged, set_processor: SetProcessor
) -> None:
    seen: list[str] = []
    set_processor(acting(seen))
    jobs = submit_each(acme, "first", "second")
    # Taken by a message that another child runs.
    assert local.permits.acquire(0)
    done = run_list(jobs)
    assert seen == []
    for job in done:
        check_unblamed(job)
