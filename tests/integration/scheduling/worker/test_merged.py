"""Merged messages: each small job runs as if alone, independent of the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from scheduling import signals
from scheduling.execution import settling
from scheduling.execution.message import execute
from scheduling.execution.settlement import SettledExecution, settle
from scheduling.execution.start import StartedTurn, start_executions
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.kit.base import JobContext
from scheduling.models import Batch, Charge, Execution, Job, JobEvent, JobLog
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Merge, RunMerged, outcomes, raising

pytestmark = pytest.mark.django_db(transaction=True)


def states(jobs: Sequence[Job]) -> list[str]:
    return [job.state for job in jobs]


def test_members_run_in_order_each_in_its_own_tenants_context(
    acme: Tenant, globex: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
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
    done = run_merged(jobs)
    assert states(done) == ["completed"] * 3
    assert seen == [(acme.pk, 0), (globex.pk, 1), (acme.pk, 0)]
    assert [job.result for job in done] == [{"tenant": str(job.tenant_id)} for job in done]
    with all_tenants():
        assert {(line.tenant_id, line.job_id) for line in JobLog.objects.all()} == {(j.tenant_id, j.pk) for j in done}


def test_history_and_ledger_are_separate_for_each_job(
    acme: Tenant, globex: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    set_processor(lambda context: time.sleep(0.02 * context.payload.get("steps", 1)))
    jobs = [submit(acme, kind="scripted", payload={"steps": steps})[0] for steps in (1, 3)]
    jobs += submit(globex, kind="scripted")
    run_merged(jobs)
    with all_tenants():
        executions = [Execution.objects.get(job_id=job.pk) for job in jobs]
        for position, (job, execution) in enumerate(zip(jobs, executions, strict=True), start=1):
            events = JobEvent.objects.filter(job_id=job.pk).order_by("at", "id")
            started = events.get(name="execution.started")
            assert (started.data["position"], started.data["size"]) == (position, 3)
            assert events.filter(name="execution.completed").count() == 1
            charged = sum(Charge.objects.filter(job_id=job.pk).values_list("microseconds", flat=True))
            assert charged == execution.measured_us
    short, long, _ = [execution.measured_us for execution in executions]
    assert 20_000 <= short < 60_000 <= long
    # One after another, in one slot.
    begun = [execution.started_at for execution in executions if execution.started_at is not None]
    assert len(set(begun)) == 3
    assert begun == sorted(begun)
    assert len({data["message"] for data in started_data(jobs)}) == 1


def started_data(jobs: Sequence[Job]) -> list[dict[str, object]]:
    with all_tenants():
        events = JobEvent.objects.filter(job_id__in=[job.pk for job in jobs], name="execution.started")
        return list(events.values_list("data", flat=True))


def test_members_are_started_and_settled_by_one_statement_each(
    acme: Tenant,
    local: LocalWorker,
    merge: Merge,
    set_processor: Callable[..., None],
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    execution_ids, token = merge(submit(acme, 30, kind="scripted"))
    # Start and settlement, each with its transaction and scope.
    with django_assert_max_num_queries(8):  # type: ignore[attr-defined]
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)


def test_telemetry_signals_name_each_member(acme: Tenant, globex: Tenant, run_merged: RunMerged) -> None:
    signalled: list[tuple[str, UUID]] = []

    def on_start(sender: object, *, executions: Sequence[StartedTurn], **_: object) -> None:
        signalled.extend(("started", one.job_id) for one in executions)

    def on_end(sender: object, *, executions: Sequence[SettledExecution], **_: object) -> None:
        signalled.extend(("ended", one.job_id) for one in executions)

    signals.executions_started.connect(on_start)
    signals.executions_ended.connect(on_end)
    try:
        jobs = submit(acme, kind="scripted") + submit(globex, kind="scripted")
        run_merged(jobs)
    finally:
        signals.executions_started.disconnect(on_start)
        signals.executions_ended.disconnect(on_end)
    assert sorted(signalled) == sorted((what, job.pk) for what in ("started", "ended") for job in jobs)


def test_failing_member_affects_no_other(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        if context.payload.get("how") == "fail":
            raise ValueError("no")

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("pass", "fail", "pass")]
    done = run_merged(jobs)
    assert states(done) == ["completed", "retryable", "completed"]
    assert [job.attempt for job in done] == [0, 1, 0]


def test_member_with_failing_effects_affects_no_other(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        how = context.payload["how"]
        context.in_settlement(lambda: Batch.objects.create(label=how, kind="scripted", total=1))
        if how == "fail":
            context.in_settlement(raising(LookupError("no such row")))  # type: ignore[arg-type]

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("first", "fail", "last")]
    done = run_merged(jobs)
    assert states(done) == ["completed", "retryable", "completed"]
    assert done[1].error_type == "LookupError"
    with tenant_context(acme):
        assert sorted(Batch.objects.values_list("label", flat=True)) == ["first", "last"]


def test_refused_settlement_affects_only_its_member(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settlements: Sequence[object], **options: object) -> object:
        if any(one.result == {"how": "odd"} for one in settlements):  # type: ignore[attr-defined]
            raise ValueError("out of range")
        return settle(settlements, **options)  # type: ignore[arg-type]

    set_processor(lambda context: dict(context.payload))
    monkeypatch.setattr(settling, "settle_executions", refuse)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("even", "odd", "even")]
    # The lease rescues the one in the middle, as if it were alone.
    assert states(run_merged(jobs)) == ["completed", "executing", "completed"]


def test_member_leaving_a_transaction_open_returns_the_rest(
    acme: Tenant, local: LocalWorker, merge: Merge, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        if context.payload.get("how") == "leave":
            transaction.atomic().__enter__()
            raise ValueError("in the middle of a transaction")

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("pass", "leave", "wait")]
    execution_ids, token = merge(jobs)
    with pytest.raises(SystemExit):
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    done = [reload(job) for job in jobs]
    assert states(done) == ["completed", "retryable", "available"]
    check_unblamed(done[2])


def test_member_ending_its_process_is_settled_by_the_parent(
    acme: Tenant, local: LocalWorker, merge: Merge, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        if context.payload.get("how") == "exit":
            raise SystemExit(3)

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("pass", "exit", "wait")]
    execution_ids, token = merge(jobs)
    with pytest.raises(SystemExit):
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    assert states([reload(job) for job in jobs]) == ["completed", "executing", "available"]
    (held,) = local.block.held_slots()
    assert [member.execution_id for member in local.block.members_of(held)] == [execution_ids[1]]


def check_unblamed(job: Job) -> None:
    """Assert that the job is back as if it had never been dispatched, without charge."""
    assert (job.state, job.attempt, job.crash_count, job.started_at) == ("available", 0, 0, None)
    assert not job.merge_disabled
    with all_tenants():
        execution = Execution.objects.get(job_id=job.pk)
        assert (execution.outcome, execution.measured_us, execution.started_at) == ("returned", 0, None)
        assert sum(Charge.objects.filter(job_id=job.pk).values_list("microseconds", flat=True)) == 0


def test_unstarted_members_return_while_a_slow_one_runs(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    seen: list[list[str]] = []

    def process(context: JobContext) -> None:
        if context.payload.get("how") == "slow":
            until = time.monotonic() + 20
            while states([reload(job) for job in jobs]) != ["completed", "executing", "available", "available"]:
                assert time.monotonic() < until, [reload(job).state for job in jobs]
                time.sleep(0.01)
            seen.append(states([reload(job) for job in jobs]))

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("quick", "slow", "late", "later")]
    done = run_merged(jobs)
    assert len(seen) == 1
    assert states(done) == ["completed", "completed", "available", "available"]
    for job in done[2:]:
        check_unblamed(job)
    assert outcomes(done[1]) == ["completed"]


def test_returned_member_completes_in_another_message(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    set_processor(lambda context: time.sleep(context.payload.get("seconds", 0.0)))
    jobs = submit(acme, kind="scripted", payload={"seconds": 0.5}) + submit(acme, kind="scripted")
    assert states(run_merged(jobs)) == ["completed", "available"]
    (done,) = run_merged(jobs[1:])
    assert (done.state, outcomes(done)) == ("completed", ["returned", "completed"])
    assert faults_of("counters", "ready") == []


def test_stopping_worker_returns_the_rest(
    acme: Tenant, local: LocalWorker, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        if context.payload.get("how") == "stop":
            local.block.stop()
            context.should_yield()

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("pass", "stop", "wait")]
    done = run_merged(jobs)
    assert states(done) == ["completed", "available", "available"]
    assert [outcomes(job) for job in done] == [["completed"], ["shutdown"], ["returned"]]


def test_member_cancelled_while_it_waits_ends_cancelled(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        if context.payload.get("how") == "cancel":
            cancelling = threading.Thread(target=cancel_others)
            cancelling.start()
            cancelling.join()
            time.sleep(0.3)

    def cancel_others() -> None:
        try:
            with tenant_context(acme):
                cancel_jobs(job_ids=[jobs[1].pk])
        finally:
            connection.close()

    set_processor(process)
    jobs = [submit(acme, kind="scripted", payload={"how": how})[0] for how in ("cancel", "wait", "wait")]
    assert states(run_merged(jobs)) == ["completed", "cancelled", "available"]


def test_member_cancelled_before_the_start_is_skipped(
    acme: Tenant, local: LocalWorker, merge: Merge, set_processor: Callable[..., None]
) -> None:
    ran: list[UUID] = []
    set_processor(lambda context: ran.append(context.job_id))
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = merge(jobs)
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[0].pk])
    execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    assert states([reload(job) for job in jobs]) == ["cancelled", "completed", "completed"]
    assert ran == [jobs[1].pk, jobs[2].pk]


def test_live_execution_that_contradicts_its_job_blocks_no_other(
    acme: Tenant, local: LocalWorker, merge: Merge
) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = merge(jobs)
    with all_tenants():
        Job.objects.filter(pk=jobs[1].pk).update(fence=7)
    started = start_executions(execution_ids=execution_ids, token=token, worker_id=local.registration.worker_id)
    assert [one.job_id for one in started] == [jobs[0].pk, jobs[2].pk]
    assert start_executions(execution_ids=execution_ids, token=token, worker_id=local.registration.worker_id) == []


def test_repeated_or_forged_message_starts_nothing(
    acme: Tenant, local: LocalWorker, merge: Merge, set_processor: Callable[..., None]
) -> None:
    ran: list[UUID] = []
    set_processor(lambda context: ran.append(context.job_id))
    execution_ids, token = merge(submit(acme, 3, kind="scripted"))
    execute(execution_ids=execution_ids, token=uuid4(), child_index=0, worker=local)
    assert ran == []
    for _ in range(2):
        execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
    assert len(ran) == 3
