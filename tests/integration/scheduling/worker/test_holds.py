"""Holds: a child that receives a list holds its executions and begins the first; no other process begins one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from scheduling.dispatch.republish import republish_unstarted
from scheduling.execution import holds
from scheduling.execution.holds import BegunExecution, begin_next_here, read_hold, settle_and_begin
from scheduling.execution.leases import heartbeat
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.settlement_builders import returned
from scheduling.execution.start import StartedExecution, start_executions
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import Execution, Job, JobEvent, LiveExecution, Site, Worker
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.database.conf import platform_role
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import age, beside, reload, submit
from tests.integration.scheduling.worker.conftest import Merge, outcomes

pytestmark = pytest.mark.django_db(transaction=True)


def hold(
    local: LocalWorker, execution_ids: Sequence[UUID], token: UUID, hold_id: UUID | None = None
) -> list[StartedExecution]:
    return start_executions(
        execution_ids=execution_ids, token=token, worker_id=local.registration.worker_id, hold_id=hold_id
    )


def rows(jobs: Sequence[Job]) -> list[tuple[bool, bool, int]]:
    """Return for each job in flight whether it is held, whether it has begun, and its fence."""
    with all_tenants():
        live = {row.job_id: row for row in LiveExecution.objects.all()}
    return [
        (bool(live[j.pk].hold_id), live[j.pk].started_at is not None, live[j.pk].fence) for j in jobs if j.pk in live
    ]


def started_events() -> int:
    with all_tenants():
        return JobEvent.objects.filter(name="execution.started").count()


def test_list_is_held_and_only_its_first_execution_begins(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    members = hold(local, execution_ids, token)
    assert [(one.job_id, one.is_list, one.has_begun, one.fence) for one in members] == [
        (jobs[0].pk, True, True, 1),
        (jobs[1].pk, True, False, 0),
        (jobs[2].pk, True, False, 0),
    ]
    assert all(one.expected_us > 0 and one.wait_seconds is not None for one in members)
    assert rows(jobs) == [(True, True, 1), (True, False, 0), (True, False, 0)]
    assert [reload(job).state for job in jobs] == ["executing", "dispatched", "dispatched"]
    assert started_events() == 1
    with all_tenants():
        assert "message" not in JobEvent.objects.get(name="execution.started").data
    assert faults_of("executions") == []


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("is_list", [True, False])
def test_start_repeated_for_the_same_hold_changes_nothing(
    acme: Tenant, local: LocalWorker, merge: Merge, size: int, is_list: bool
) -> None:
    jobs = submit(acme, size, kind="scripted")
    execution_ids, token = merge(jobs)
    with all_tenants():
        LiveExecution.objects.update(is_list=is_list)
    hold_id = uuid4()
    first = hold(local, execution_ids, token, hold_id)
    before, events = rows(jobs), started_events()
    again = hold(local, execution_ids, token, hold_id)
    assert [(one.execution_id, one.fence, one.has_begun) for one in again] == [
        (one.execution_id, one.fence, one.has_begun) for one in first
    ]
    assert again[0].started_at == first[0].started_at
    assert again[0].wait_seconds == pytest.approx(first[0].wait_seconds, abs=1e-3)
    assert (rows(jobs), started_events()) == (before, events)
    # Another receipt of the message, even by the same worker, starts nothing.
    assert hold(local, execution_ids, token) == []


def test_list_without_its_first_execution_begins_the_second(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[0].pk])
    assert [one.has_begun for one in hold(local, execution_ids, token)] == [True, False]


def test_held_execution_that_contradicts_its_job_blocks_no_other(
    acme: Tenant, local: LocalWorker, enlist: Merge
) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    with all_tenants():
        Job.objects.filter(pk=jobs[1].pk).update(fence=7)
    assert [one.job_id for one in hold(local, execution_ids, token)] == [jobs[0].pk, jobs[2].pk]


def test_heartbeat_renews_held_executions(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    execution_ids, token = enlist(submit(acme, 2, kind="scripted"))
    hold(local, execution_ids, token)
    age(LiveExecution, lease_expires_at=60)
    beat = heartbeat(worker_id=local.registration.worker_id, is_stopping=False, execution_ids=execution_ids)
    assert set(beat.leases) == set(execution_ids)
    with all_tenants():
        least = min(LiveExecution.objects.values_list("lease_expires_at", flat=True))
    assert least is not None
    assert least > timezone.now() + timedelta(seconds=5)


def test_held_executions_are_not_published_again(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    execution_ids, token = enlist(submit(acme, 2, kind="scripted"))
    hold(local, execution_ids, token)
    assert republish_unstarted(is_epoch_new=True) == 0


def test_lost_worker_returns_held_executions_and_only_the_begun_one_is_blamed(
    acme: Tenant, local: LocalWorker, enlist: Merge
) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    hold(local, execution_ids, token)
    age(LiveExecution, lease_expires_at=60)
    age(Worker, heartbeat_at=60)
    assert run_sweep().rescued == 3
    after = [reload(job) for job in jobs]
    assert [outcomes(job) for job in jobs] == [["crashed"], ["returned"], ["returned"]]
    assert [(job.state, job.crash_count, job.attempt, job.merge_disabled) for job in after] == [
        ("available", 1, 0, False),
        ("available", 0, 0, False),
        ("available", 0, 0, False),
    ]
    with all_tenants():
        assert set(Execution.objects.filter(outcome="returned").values_list("measured_us", flat=True)) == {0}
    assert faults_of("ledger", "executions") == []


def test_lease_lost_by_a_worker_that_beats_blames_no_job(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    """A start that was given up may be committed later, and no worker renews its lease."""
    jobs = submit(acme, 2, kind="scripted")
    execution_ids, token = enlist(jobs)
    hold(local, execution_ids, token)
    age(LiveExecution, lease_expires_at=60)
    assert run_sweep().rescued == 2
    assert [(job.state, job.crash_count, job.attempt) for job in map(reload, jobs)] == [("available", 0, 0)] * 2


def test_late_repeat_of_a_start_begins_no_second_execution(held: Hold) -> None:
    """The first has ended when the repeat lands, and another could begin beside the current one."""
    assert held.settle_and_begin(0) == ("completed", 1)
    settle([held.completed(1)])
    again = hold_again(held)
    assert [one.has_begun for one in again] == [False, False]
    assert rows(held.jobs) == [(True, False, 0)] * 2


def test_message_with_a_locked_execution_is_not_split(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    execution_ids, token = enlist(submit(acme, 2, kind="scripted"))
    age(LiveExecution, published_at=60)
    with locked(execution_ids[1:]):
        assert republish_unstarted() == 0
    with all_tenants():
        assert set(LiveExecution.objects.values_list("token", flat=True)) == {token}
    assert republish_unstarted() == 1


def test_cancelled_job_that_is_held_ends_at_once(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    jobs = submit(acme, 2, kind="scripted")
    execution_ids, token = enlist(jobs)
    hold(local, execution_ids, token)
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[1].pk])
    assert [reload(job).state for job in jobs] == ["executing", "cancelled"]
    assert faults_of("ledger") == []


class Hold:
    """A held list of jobs: its first has begun."""

    def __init__(self, local: LocalWorker, enlist: Merge, jobs: Sequence[Job]) -> None:
        self.id, self.jobs = uuid4(), jobs
        self.worker_id = local.registration.worker_id
        self.local = local
        self.execution_ids, self.token = enlist(jobs)
        self.members = hold(local, self.execution_ids, self.token, self.id)

    def completed(self, place: int, fence: int = 1) -> Settlement:
        return Settlement.completed(self.execution_ids[place], fence, None)

    def settle_and_begin(self, place: int) -> tuple[str | None, int | None]:
        """Settle one and begin the next; return the state of the one and the place of the other."""
        settled, begun = settle_and_begin(self.completed(place), self.execution_ids[place + 1 :], hold_id=self.id)
        return settled and settled.state, self.place_of(begun)

    def begin_here(self) -> int | None:
        return self.place_of(begin_next_here(self.execution_ids[1:], hold_id=self.id))

    def place_of(self, begun: BegunExecution | None) -> int | None:
        if begun is None:
            return None
        assert begun.fence == 1
        return self.execution_ids.index(begun.execution_id)

    def give_back(self, place: int) -> bool:
        return bool(settle([returned(self.execution_ids[place], 0, cause="taken back")]))


def hold_again(held: Hold) -> list[StartedExecution]:
    return hold(held.local, held.execution_ids, held.token, held.id)


@pytest.fixture
def held(acme: Tenant, globex: Tenant, local: LocalWorker, enlist: Merge) -> Hold:
    jobs = [submit(tenant, kind="scripted")[0] for tenant in (acme, globex, acme, globex)]
    return Hold(local, enlist, jobs)


@contextmanager
def locked(execution_ids: Sequence[UUID]) -> Iterator[Callable[[], None]]:
    """Lock executions in another session; yield a function that releases them."""
    other = connections["default"].copy()

    def release() -> None:
        other.close()

    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT set_config('role', %s, true)", [platform_role()])
            cursor.execute(
                "SELECT id FROM scheduling_execution_live WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
                [list(execution_ids)],
            )
            assert len(cursor.fetchall()) == len(execution_ids)
        yield release
    finally:
        release()


def test_settlement_begins_the_next_in_the_same_transaction(held: Hold) -> None:
    assert held.settle_and_begin(0) == ("completed", 1)
    assert rows(held.jobs) == [(True, True, 1), (True, False, 0), (True, False, 0)]
    assert [reload(job).state for job in held.jobs] == ["completed", "executing", "dispatched", "dispatched"]
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT xmin::text), count(DISTINCT at) FROM scheduling_jobevent"
            " WHERE (execution_id, name) IN ((%s, 'execution.completed'), (%s, 'execution.started'))",
            held.execution_ids[:2],
        )
        assert cursor.fetchone() == (2, 1, 1)
    assert faults_of("ledger", "executions") == []


def test_locked_successor_is_passed_over_without_a_wait(held: Hold) -> None:
    with locked(held.execution_ids[1:2]):
        assert held.settle_and_begin(0) == ("completed", 2)


def test_settlement_succeeds_while_all_successors_are_locked(held: Hold) -> None:
    with locked(held.execution_ids[1:]):
        assert held.settle_and_begin(0) == ("completed", None)
        # That waits for the lock, for a short time.
        assert held.begin_here() is None
    assert held.begin_here() == 1


def test_begin_here_waits_for_a_short_lock(held: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "LOCK_TIMEOUT_MS", 20_000)
    found: list[int | None] = []
    with locked(held.execution_ids[1:]) as release:
        assert held.settle_and_begin(0) == ("completed", None)
        waiting = beside(lambda: found.append(held.begin_here()))
        assert not found
        release()
        waiting.join(20)
    assert found == [1]


def test_late_settlement_begins_nothing(held: Hold) -> None:
    assert held.settle_and_begin(0) == ("completed", 1)
    # As if the statement were repeated, or its message had waited in the network.
    assert held.settle_and_begin(0) == (None, None)
    assert rows(held.jobs) == [(True, True, 1), (True, False, 0), (True, False, 0)]


def test_execution_whose_begin_was_not_answered_is_returned_again(held: Hold) -> None:
    assert held.settle_and_begin(0) == ("completed", 1)
    for _ in range(2):
        assert held.begin_here() == 1
    assert started_events() == 2


def test_returned_and_cancelled_executions_are_passed_over(held: Hold) -> None:
    assert held.give_back(1)
    with tenant_context(held.jobs[2].tenant_id):
        cancel_jobs(job_ids=[held.jobs[2].pk])
    assert held.settle_and_begin(0) == ("completed", 3)
    assert not held.give_back(3)
    assert [reload(job).state for job in held.jobs] == ["completed", "available", "cancelled", "executing"]
    returned_job = reload(held.jobs[1])
    assert (returned_job.attempt, returned_job.started_at) == (0, None)
    assert faults_of("ledger", "executions") == []


def test_other_hold_begins_nothing(held: Hold) -> None:
    assert begin_next_here(held.execution_ids[1:], hold_id=uuid4()) is None
    assert settle_and_begin(held.completed(0), held.execution_ids[1:], hold_id=uuid4()).begun is None


def test_refused_settlement_begins_nothing(held: Hold) -> None:
    broken = held.completed(0)
    broken.peak_memory_kib = 2**70
    with pytest.raises(DatabaseError):
        settle_and_begin(broken, held.execution_ids[1:], hold_id=held.id)
    assert rows(held.jobs) == [(True, True, 1), (True, False, 0), (True, False, 0), (True, False, 0)]
    assert held.settle_and_begin(0) == ("completed", 1)


def test_hold_is_read_from_the_database(held: Hold) -> None:
    held.settle_and_begin(0)
    left = read_hold(hold_id=held.id, worker_id=held.worker_id)
    assert [(one.execution_id, one.fence, one.has_begun) for one in left] == [
        (held.execution_ids[1], 1, True),
        (held.execution_ids[2], 0, False),
        (held.execution_ids[3], 0, False),
    ]
    assert read_hold(hold_id=held.id, worker_id=uuid4()) == []


def test_cancellations_and_turnovers_do_not_deadlock(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    """Cancel pairs of jobs, in the order of a list and against it, while the list goes on."""
    jobs = submit(acme, 40, kind="scripted")
    held = Hold(local, enlist, jobs)
    errors: list[DatabaseError] = []

    def cancel_pairs() -> None:
        try:
            with tenant_context(acme):
                pairs = list(zip(jobs[1::2], jobs[2::2], strict=False))
            for pair in pairs:
                with tenant_context(acme):
                    cancel_jobs(job_ids=[job.pk for job in reversed(pair)])
        except DatabaseError as error:
            errors.append(error)

    cancelling = beside(cancel_pairs)
    place: int | None = 0
    while place is not None:
        rest = held.execution_ids[place + 1 :]
        turnover = settle_and_begin(held.completed(place), rest, hold_id=held.id)
        begun = turnover.begun or begin_next_here(rest, hold_id=held.id)
        place = held.place_of(begun)
    cancelling.join(60)
    assert errors == []
    assert {reload(job).state for job in jobs} <= {"completed", "cancelled", "dispatched", "executing"}
    assert faults_of("ledger", "executions") == []


@pytest.mark.parametrize("is_held", [False, True])
def test_list_of_a_held_site_does_not_continue(
    acme: Tenant, local: LocalWorker, enlist: Merge, *, is_held: bool
) -> None:
    jobs, hold_id = submit(acme, 3, kind="scripted"), uuid4()
    members = hold(local, *enlist(jobs), hold_id)
    next_ids = [one.execution_id for one in members[1:]]
    with all_tenants():
        until = timezone.now() + timedelta(seconds=-1 if is_held else 60)
        Site.objects.create(name="north", epoch=1, starts_until=until)
    completed = Settlement.completed(members[0].execution_id, members[0].fence, None)
    turnover = settle_and_begin(completed, next_ids, hold_id=hold_id)
    assert turnover.settled is not None
    assert (turnover.begun is None) == is_held
    assert (begin_next_here(next_ids, hold_id=hold_id) is None) == is_held
