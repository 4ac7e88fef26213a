"""Parents of children with lists: they return what waits in an overdue list, and settle the hold of a dead child."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import pytest

from scheduling.execution.start import start_executions
from scheduling.models import Job
from scheduling.worker.child_watch import ChildWatch
from scheduling.worker.control_block import Seat
from scheduling.worker.heartbeat import HeartbeatThread
from scheduling.worker.local_worker import LocalWorker
from tenants.models import Tenant
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Merge, outcomes
from tests.integration.scheduling.worker.test_merged import check_unblamed, states
from tests.unit.scheduling.worker.test_control_block import only

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def parent(local: LocalWorker) -> Iterator[HeartbeatThread]:
    """Run the heartbeat thread of the worker."""
    thread = HeartbeatThread(local, ChildWatch(local))
    yield thread
    if thread.is_alive():
        thread.stop(timeout_seconds=20)
        assert not thread.is_alive()


@contextmanager
def child_with(local: LocalWorker, execution_ids: Sequence[UUID], act: Callable[[Seat], object]) -> Iterator[int]:
    """Fork a child that takes a seat for the executions, does ``act`` and waits; yield its process id."""
    pid = os.fork()
    if not pid:
        try:
            act(local.block.take_seat(0, execution_ids))
            signal.pause()
        finally:
            os._exit(1)
    try:
        eventually(lambda: any(local.block.held_slots()), within=20, what="the child has its seat")
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def start_for(local: LocalWorker, execution_ids: Sequence[UUID], token: UUID) -> None:
    """Start the executions in the database for the child's hold."""
    worker_id = local.registration.worker_id
    hold_id = only(local.block).hold_id
    assert start_executions(execution_ids=execution_ids, token=token, worker_id=worker_id, hold_id=hold_id)


def has_states(jobs: Sequence[Job], *wanted: str) -> Callable[[], bool]:
    return lambda: states([reload(job) for job in jobs]) == list(wanted)


def test_parent_returns_what_waits_in_an_overdue_list_and_blames_only_what_runs_when_the_child_dies(
    acme: Tenant, local: LocalWorker, enlist: Merge, parent: HeartbeatThread
) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)

    def overrun(seat: Seat) -> None:
        seat.note_list(due_in_seconds=0.0)
        seat.take_turn(execution_ids[0])
        seat.note_begun(fence=1, attempt=1, crash_count=0, max_retries=3, kind="scripted", timeout_seconds=600)

    with child_with(local, execution_ids, overrun) as pid:
        eventually(lambda: only(local.block).has_begun, within=20, what="the child runs the first")
        start_for(local, execution_ids, token)
        parent.start()
        eventually(
            has_states(jobs, "executing", "available", "available"), within=20, what="the parent returns what waits"
        )
        for job in jobs[1:]:
            check_unblamed(reload(job))
        os.kill(pid, signal.SIGKILL)
        eventually(has_states(jobs, *["available"] * 3), within=20, what="the parent settles what ran")
    assert [outcomes(job) for job in jobs] == [["crashed"], ["returned"], ["returned"]]
    assert reload(jobs[0]).crash_count == 1
    assert faults_of("ledger", "executions") == []


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("is_list", [True, False])
def test_job_of_a_child_that_dies_before_its_start_is_answered_is_not_blamed(
    acme: Tenant, local: LocalWorker, enlist: Merge, merge: Merge, parent: HeartbeatThread, size: int, is_list: bool
) -> None:
    jobs = submit(acme, size, kind="scripted")
    execution_ids, token = (enlist if is_list else merge)(jobs)
    with child_with(local, execution_ids, lambda seat: None) as pid:
        start_for(local, execution_ids, token)
        os.kill(pid, signal.SIGKILL)
        parent.start()
        eventually(has_states(jobs, *["available"] * size), within=20, what="the parent returns all")
    for job in jobs:
        check_unblamed(reload(job))
    assert faults_of("ledger", "executions") == []
