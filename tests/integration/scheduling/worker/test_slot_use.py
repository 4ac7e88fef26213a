"""Slot use: a message holds its slot exactly while its jobs run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F
from django.utils import timezone

from scheduling.execution import merged_message, processing, settlement, settling
from scheduling.execution import message as execution
from scheduling.execution.logs import job_log
from scheduling.execution.message import SlotUse
from scheduling.execution.settlement import SettledExecution, Settlement
from scheduling.fleet.workers import register_worker
from scheduling.kit import registry
from scheduling.kit.base import JobContext
from scheduling.models import Execution, JobEvent, LiveExecution, Queue, QueueClock
from scheduling.topology.service import update_queue
from scheduling.worker import child_watch
from scheduling.worker.child_exit import ExitCause
from scheduling.worker.child_watch import ChildWatch
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.processes import eventually
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, RunMerged, outcomes
from tests.unit.scheduling.worker.test_control_block import only

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]
OURS, OTHER = 0, 1


@pytest.fixture
def local(transactional_db: None) -> LocalWorker:
    """Return a worker of one slot and two children, of which this process is the first."""
    return LocalWorker.of(register_worker(pool_name="default", hostname="test", pid=1, slots=1), spare_children=1)


def is_free(local: LocalWorker) -> bool:
    """Return whether another child may run now."""
    if not local.permits.acquire(OTHER, patience_seconds=0):
        return False
    local.permits.finish(OTHER)
    return True


@pytest.fixture
def free_at_settlements(monkeypatch: pytest.MonkeyPatch, local: LocalWorker) -> list[bool]:
    """Return whether the slot was free at each settlement."""
    seen: list[bool] = []
    settle = settlement.settle

    def note(settlements: Sequence[Settlement], **how: Any) -> list[SettledExecution]:
        seen.append(is_free(local))
        return settle(settlements, **how)

    for module in (processing, settling):
        monkeypatch.setattr(module, "settle_executions", note)
    return seen


def test_next_message_starts_while_this_one_is_settled(
    acme: Tenant,
    local: LocalWorker,
    run: Run,
    run_merged: RunMerged,
    set_processor: Follow,
    free_at_settlements: list[bool],
) -> None:
    free_at_work: list[bool] = []
    set_processor(lambda context: free_at_work.append(is_free(local)))
    run(*submit(acme, kind="scripted"))
    run_merged(submit(acme, 2, kind="scripted"))
    assert free_at_work == [False] * 3
    assert free_at_settlements == [True] * 2
    assert is_free(local)


def test_settlement_effects_hold_the_slot(
    acme: Tenant,
    local: LocalWorker,
    run: Run,
    run_merged: RunMerged,
    set_processor: Follow,
    free_at_settlements: list[bool],
) -> None:
    free_at_effects: list[bool] = []
    set_processor(lambda context: context.in_settlement(lambda: free_at_effects.append(is_free(local))))
    run(*submit(acme, kind="scripted"))
    run_merged(submit(acme, 2, kind="scripted"))
    assert free_at_settlements == free_at_effects == [False] * 3
    assert is_free(local)


@pytest.mark.parametrize("count", [1, 3])
def test_job_started_for_a_slot_that_stays_occupied_returns(
    acme: Tenant, local: LocalWorker, run: Run, run_merged: RunMerged, set_processor: Follow, count: int
) -> None:
    worked: list[str] = []
    set_processor(lambda context: worked.append(context.kind))
    jobs = submit(acme, count, kind="scripted")
    act = run_merged if count > 1 else lambda jobs: [run(job) for job in jobs]
    assert local.permits.acquire(OTHER)
    for job in act(jobs):
        assert (job.state, job.attempt, job.used_us) == ("available", 0, 0)
        assert outcomes(job) == ["returned"]
        with all_tenants():
            (event,) = JobEvent.objects.filter(job_id=job.pk, name="execution.returned")
        assert event.data["cause"] == execution.NO_SLOT
    assert worked == []
    local.permits.finish(OTHER)
    assert {job.state for job in act(jobs)} == {"completed"}
    assert len(worked) == count


def test_returned_job_returns_its_queues_token(
    acme: Tenant, local: LocalWorker, run: Run, set_processor: Follow
) -> None:
    """Return it, or the next job of a queue with a rate would wait for a minute."""
    queue = Queue.objects.get(name="tasks_team")
    update_queue(queue=queue, changes={"dispatches_per_minute": 1, "dispatch_burst": 1})
    set_processor(lambda context: None)
    (job,) = submit(acme, kind="scripted")
    assert local.permits.acquire(OTHER)
    assert run(job).state == "available"
    local.permits.finish(OTHER)
    assert run(job).state == "completed"
    with all_tenants():
        spent = QueueClock.objects.get(queue=queue).arrival_us / 1e6 - timezone.now().timestamp()
    assert 0 < spent <= 60


@pytest.mark.parametrize("count", [1, 3])
def test_wait_for_the_slot_is_not_charged(
    acme: Tenant, run: Run, run_merged: RunMerged, set_processor: Follow, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Let the slot become free only an hour after the start."""
    wait = timedelta(hours=1)

    def begin(use: SlotUse) -> float:
        with all_tenants():
            for live in LiveExecution.objects.all():
                assert live.started_at is not None
                LiveExecution.objects.filter(pk=live.pk).update(started_at=live.started_at - wait)
        return wait.total_seconds()

    monkeypatch.setattr(SlotUse, "begin", begin)
    set_processor(lambda context: None)
    since = timezone.now()
    jobs = submit(acme, count, kind="scripted")
    for job in run_merged(jobs) if count > 1 else [run(job) for job in jobs]:
        assert job.state == "completed"
        with all_tenants():
            done = Execution.objects.get(job_id=job.pk)
        assert 0 <= done.measured_us < wait.total_seconds() * 1e6 / 2
        assert done.started_at is not None
        assert abs(done.started_at - since) < wait / 2


HOUR = timedelta(hours=1)


@pytest.fixture
def pass_an_hour(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let an hour pass, by the worker's clock and by the database's."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    for module in (execution, processing, merged_message):
        monkeypatch.setattr(module, "time", clock)

    def pass_it() -> None:
        passed[0] += HOUR.total_seconds()
        with all_tenants():
            LiveExecution.objects.update(started_at=F("started_at") - HOUR)

    return pass_it


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, pass_an_hour: Callable[[], None]) -> None:
    """Let each step of a message take an hour: its start, its log writes, its settlement."""

    def after(act: Callable[..., Any], *given: Any, **how: Any) -> Any:
        done = act(*given, **how)
        pass_an_hour()
        return done

    def before(act: Callable[..., Any], *given: Any, **how: Any) -> Any:
        pass_an_hour()
        return act(*given, **how)

    # A thread that writes log lines would let the time pass during the work.
    monkeypatch.setattr(job_log, "FLUSH_SECONDS", HOUR.total_seconds())
    monkeypatch.setattr(execution, "start", partial(after, execution.start))
    monkeypatch.setattr(job_log, "write_buffers", partial(before, job_log.write_buffers))
    monkeypatch.setattr(merged_message, "write_buffers", partial(before, merged_message.write_buffers))
    for module in (processing, settling):
        monkeypatch.setattr(module, "settle_executions", partial(before, settlement.settle))


def log(context: JobContext) -> None:
    context.log("one line")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("has_effects", [False, True])
@pytest.mark.usefixtures("slow")
def test_small_jobs_are_charged_only_their_run_time(
    acme: Tenant,
    run: Run,
    run_merged: RunMerged,
    set_processor: Follow,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    has_effects: bool,
) -> None:
    """Keep one that is alone as small as in company."""
    monkeypatch.setattr(execution, "SMALL_SECONDS", 60.0)
    monkeypatch.setattr(merged_message, "MESSAGE_SECONDS", 24 * HOUR.total_seconds())

    def work(context: JobContext) -> None:
        log(context)
        if has_effects:
            context.in_settlement(lambda: None)

    set_processor(work)
    jobs = submit(acme, count, kind="scripted")
    for job in run_merged(jobs) if count > 1 else [run(job) for job in jobs]:
        assert job.state == "completed"
        assert 0 < job.used_us < 60_000_000


@pytest.mark.parametrize("is_small", [True, False])
@pytest.mark.usefixtures("slow")
def test_unmergeable_job_is_charged_its_workers_overhead(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch, is_small: bool
) -> None:
    if is_small:
        monkeypatch.setattr(registry, "is_mergeable", lambda kind: False)
    monkeypatch.setattr(execution, "SMALL_SECONDS", 60.0 if is_small else 0.0)
    set_processor(log)
    used = timedelta(microseconds=run(*submit(acme, kind="scripted")).used_us)
    # Its log is written before its settlement. The duration of start and settlement only the database could measure.
    assert HOUR <= used < 2 * HOUR


def test_processor_that_ends_its_process_frees_the_slot(
    acme: Tenant, local: LocalWorker, run: Run, set_processor: Follow
) -> None:
    def leave(context: JobContext) -> None:
        raise SystemExit(3)

    set_processor(leave)
    (job,) = submit(acme, kind="scripted")
    with pytest.raises(SystemExit):
        run(job)
    assert is_free(local)


def test_slot_of_an_ended_child_is_free_once_it_is_settled(local: LocalWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settle first, because the dispatcher then dispatches a message that waits only 50 ms."""
    pid = os.fork()
    if not pid:
        local.permits.acquire(OURS)
        local.block.take_seat(OURS, [uuid4()])
        signal.pause()
    eventually(
        lambda: not is_free(local) and [slot.pid for slot in local.block.held_slots()] == [pid],
        within=10,
        what="the child works",
    )

    def read_hold(**_: object) -> list[object]:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return []

    monkeypatch.setattr(child_watch, "read_hold", read_hold)
    ChildWatch(local).end(only(local.block), ExitCause.TIMED_OUT, is_alive=True)
    assert is_free(local)
    os.waitpid(pid, 0)
