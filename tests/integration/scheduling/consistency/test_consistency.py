"""Consistency checks: each fault is found by its code and repaired if possible, and work in progress is no fault."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from scheduling.consistency import verification, walk
from scheduling.consistency.registry import (
    NOT_PROVED,
    CheckPage,
    CheckRange,
    ConsistencyFault,
    StateCheck,
    fault_kinds,
    state_checks,
)
from scheduling.consistency.verification import StateReport, verify
from scheduling.dispatch.tick import run_tick
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import start_execution
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import Job, JobEvent, LiveExecution, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.exceptions import DomainError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.dispatch.test_invariants import recount
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, in_flight, submit
from tests.integration.scheduling.random_walk import Walk
from tests.predictions import predict

# A test's transaction outlives the idle timeout of turns.
pytestmark = pytest.mark.usefixtures("no_lock_timeout")


def execute(statement: str, **values: object) -> None:
    """Plant a fault; raise if the statement changes nothing."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount > 0, statement


def codes(report: StateReport) -> set[str]:
    return {code for code, _ in report.findings}


@pytest.fixture
def work(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    """Create jobs of two tenants in every state but quarantined, in lines with and without keys, with unfolded news."""
    done, dead, back, running = submit(acme, 4)
    tick()
    complete(start, done)
    fail(start, dead, is_permanent=True)
    fail(start, back)
    begin(start, running)
    submit(acme, 1, run_at=timezone.now() + timedelta(hours=1))
    stopped, *_ = submit(acme, 3, fair_key="ann", deadline=timezone.now() + timedelta(hours=2))
    with tenant_context(acme):
        suspend_job(job_id=stopped.pk)
        cancel_job(job_id=submit(acme)[0].pk)
    submit(globex, 3)
    tick()
    submit(acme, 2)


ONE_JOB = "(SELECT id FROM scheduling_job WHERE state = '{}' ORDER BY id LIMIT 1)"
ONE_READY = "(SELECT job_id FROM scheduling_job_ready ORDER BY job_id LIMIT 1)"
ONE_LINE = "(SELECT id FROM scheduling_schedulingentity WHERE parent_id IS NULL ORDER BY id LIMIT 1)"
PLACE = "tenant_id, {} AS entity_id, rank, job_id, kind, payload_bytes, used_us"
COLUMNS = "tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us"
# The planted fault, its code, and whether it can be repaired.
PLANTED: list[tuple[str, str, bool]] = [
    # counters
    (f"UPDATE scheduling_schedulingentity SET waiting = waiting + 1 WHERE id = {ONE_LINE}", "waiting_counter", True),
    (f"UPDATE scheduling_schedulingentity SET in_flight = 7 WHERE id = {ONE_LINE}", "in_flight_counter", True),
    (f"UPDATE scheduling_schedulingentity SET keys_waiting = 7 WHERE id = {ONE_LINE}", "keys_waiting_counter", True),
    (
        f"UPDATE scheduling_schedulingentity SET keys_in_flight = 7 WHERE id = {ONE_LINE}",
        "keys_in_flight_counter",
        True,
    ),
    ("UPDATE scheduling_tenant_capacity SET in_flight = in_flight + 1", "capacity_counter", True),
    ("DELETE FROM scheduling_tenant_capacity", "capacity_missing", True),
    (
        (
            "INSERT INTO tenants_tenantusage (tenant_id, key, period, amount) SELECT id, 'worker_seconds_per_month',"
            " date_trunc('month', now() AT TIME ZONE 'UTC')::date, 5 FROM tenants_tenant WHERE slug = 'globex'"
        ),
        "usage_counter",
        True,
    ),
    # places
    (f"DELETE FROM scheduling_job_ready WHERE job_id = {ONE_READY}", "job_nowhere", True),
    ("DELETE FROM scheduling_job_due", "job_nowhere", True),
    ("DELETE FROM scheduling_job_suspended", "job_nowhere", True),
    (f"UPDATE scheduling_job SET state = 'suspended' WHERE id = {ONE_READY}", "place_of_another_state", True),
    (f"UPDATE scheduling_job SET state = 'cancelled' WHERE id = {ONE_READY}", "place_of_another_state", True),
    (
        (
            f"INSERT INTO scheduling_job_held ({COLUMNS}) SELECT {COLUMNS} FROM scheduling_job_ready"
            f" WHERE job_id = {ONE_READY}"
        ),
        "job_in_two_places",
        True,
    ),
    (
        (
            f"INSERT INTO scheduling_job_due ({COLUMNS}, due_at) SELECT {COLUMNS}, now() FROM scheduling_job_ready"
            f" WHERE job_id = {ONE_READY}"
        ),
        "job_in_two_places",
        True,
    ),
    (
        (
            "UPDATE scheduling_job_ready SET entity_id = (SELECT max(id) FROM scheduling_schedulingentity) + 1"
            f" WHERE job_id = {ONE_READY}"
        ),
        "place_in_wrong_line",
        True,
    ),
    (
        (
            "INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind) SELECT tenant_id, id, 0,"
            f" '0196f0c4-0000-7000-8000-00000000dead', 'noop' FROM scheduling_schedulingentity WHERE id = {ONE_LINE}"
        ),
        "place_without_job",
        True,
    ),
    (
        (
            "INSERT INTO scheduling_job_deadline (job_id, tenant_id, deadline_at)"
            " SELECT id, tenant_id, now() + interval '1 hour' FROM scheduling_job WHERE state = 'completed'"
        ),
        "deadline_of_ended_job",
        True,
    ),
    ("DELETE FROM scheduling_job_deadline", "deadline_missing", True),
    # executions
    ("UPDATE scheduling_job SET state = 'completed' WHERE state = 'executing'", "execution_astray", True),
    ("UPDATE scheduling_job SET state = 'available' WHERE state = 'executing'", "execution_astray", True),
    ("UPDATE scheduling_job SET fence = fence - 1 WHERE state = 'executing'", "fence_differs", True),
    ("UPDATE scheduling_job SET fence = fence + 1 WHERE state = 'dispatched'", "fence_differs", True),
    ("UPDATE scheduling_job SET state = 'dispatched' WHERE state = 'executing'", "execution_phase_differs", True),
    ("UPDATE scheduling_job SET state = 'executing' WHERE state = 'dispatched'", "execution_phase_differs", True),
    (
        "UPDATE scheduling_execution_live SET lease_expires_at = now() - interval '1 hour' WHERE worker_id IS NOT NULL",
        "lease_long_past",
        True,
    ),
    # records
    ("DELETE FROM scheduling_deadletter", "dead_letter_missing", True),
    (
        f"UPDATE scheduling_deadletter SET job_id = {ONE_JOB.format('completed')}",
        "dead_letter_unfounded",
        False,
    ),
    ("UPDATE scheduling_job SET attempt = max_retries + 2 WHERE state = 'retryable'", "attempts_over", False),
    # history and ledger
    ("UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE reason = 'corrected'", "ledger", False),
    (
        # The sums of the tenant stay correct.
        (
            "UPDATE scheduling_charge c SET microseconds = microseconds + CASE id WHEN e.first THEN 7 ELSE -7 END"
            " FROM (SELECT min(id::text)::uuid AS first, max(id::text)::uuid AS last FROM scheduling_charge"
            " WHERE reason = 'corrected') e WHERE c.id IN (e.first, e.last)"
        ),
        "execution_charge",
        False,
    ),
    ("DELETE FROM scheduling_execution", "charge_without_execution", False),
    ("DELETE FROM scheduling_execution_live WHERE started_at IS NOT NULL", "job_without_execution", False),
    ("UPDATE scheduling_job SET state = 'cancelled' WHERE state = 'completed'", "history_differs", False),
    (
        f"DELETE FROM scheduling_jobevent WHERE job_id = {ONE_JOB.format('completed')}",
        "history_missing",
        False,
    ),
    (
        (
            "INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)"
            " SELECT uuidv7(), tenant_id, job_id, at, name, state, actor, '', '{}' FROM scheduling_jobevent"
            " WHERE state = 'completed'"
        ),
        "ended_twice",
        False,
    ),
    (
        (
            "UPDATE scheduling_jobevent SET position = position + 1000000 WHERE name = 'execution.started'"
            f" AND job_id = {ONE_JOB.format('completed')}"
        ),
        "history_illegal",
        False,
    ),
]
IDS = [f"{code}-{number}" for number, (_, code, _) in enumerate(PLANTED)]


@pytest.mark.django_db
def test_state_without_faults_is_clean(work: None) -> None:
    report = verify()
    assert report.findings == {}
    assert report.checks == [check.name for check in state_checks()]
    assert report.is_clean


@pytest.mark.django_db
@pytest.mark.parametrize(("fault", "code", "is_mended"), PLANTED, ids=IDS)
def test_planted_fault_is_found_and_repaired_if_possible(
    work: None, acme: Tenant, fault: str, code: str, is_mended: bool
) -> None:
    execute(fault)
    found = verify()
    assert code in codes(found)
    assert not found.is_clean
    # Verifying changes nothing.
    assert codes(verify()) == codes(found)
    repaired = verify(repair=True, reason="planted")
    after = verify()
    if not is_mended:
        assert not repaired.is_clean
        assert not after.is_clean
        return
    # Some are repaired by an earlier repair.
    assert [f for f in repaired.findings.values() if f.is_repairable and not f.is_repaired] == []
    assert code not in codes(after)
    assert {c for c in codes(after) if fault_kinds()[c].repair} == set(), "what can be repaired is"
    if "SET state" not in fault:
        # A state written by hand stays, and differs from its history.
        assert after.is_clean
        assert recount() == []


FAULTS_OF_KEYS = [
    ("UPDATE scheduling_concurrency_key SET in_flight = 2", "concurrency_key_counter"),
    ("DELETE FROM scheduling_concurrency_key", "concurrency_key_counter"),
    (
        (
            "WITH live AS (UPDATE scheduling_execution_live SET concurrency_key = NULL)"
            " DELETE FROM scheduling_concurrency_key"
        ),
        "concurrency_key_stranded",
    ),
    (
        (
            "INSERT INTO scheduling_unique_key (job_id, tenant_id, kind, unique_key)"
            " SELECT id, tenant_id, kind, 'x' FROM scheduling_job WHERE state = 'completed'"
        ),
        "unique_key_of_ended_job",
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("fault", "code"), FAULTS_OF_KEYS)
def test_planted_fault_of_a_key_is_found_and_repaired(
    acme: Tenant, worker: Registration, tick: Tick, start: Start, fault: str, code: str
) -> None:
    done, running, *_ = submit(acme, 4, concurrency_key="a")
    tick()
    complete(start, done)
    tick()
    assert verify().is_clean
    execute(fault)
    assert codes(verify()) == {code}
    verify(repair=True, reason="planted")
    assert verify().is_clean
    tick()
    complete(start, running)
    tick()
    with all_tenants():
        assert Job.objects.filter(concurrency_key="a", state=JobState.COMPLETED).count() == 2
        assert Job.objects.in_flight().exists()


@pytest.mark.django_db
def test_repair_is_audited_with_its_reason_and_in_the_jobs_history(work: None, acme: Tenant) -> None:
    execute("DELETE FROM scheduling_execution_live WHERE started_at IS NOT NULL")
    with tenant_context(acme):
        job = Job.objects.get(state=JobState.EXECUTING)
    verify(repair=True, reason="a restore")
    with tenant_context(acme):
        event = JobEvent.objects.get(job_id=job.pk, name="job.repaired")
        entry = AuditLogEntry.objects.get(action="state.repaired", target_id="job_without_execution")
    assert (event.state, event.data) == ("available", {"fault": "job_without_execution"})
    assert (entry.reason, entry.before["number"]) == ("a restore", 1)
    assert str(job.pk) in entry.before["examples"]


@pytest.mark.django_db
def test_leftovers_of_a_deleted_tenant_are_repaired_and_audited(work: None) -> None:
    execute(
        "INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind)"
        " VALUES (%(ghost)s, 987654321, 0, %(ghost)s, 'noop')",
        ghost=(ghost := uuid7()),
    )
    report = verify(repair=True)
    assert (list(report.findings), report.is_clean) == ([("place_without_job", ghost)], True)
    with all_tenants():
        assert AuditLogEntry.objects.get(action="state.repaired").tenant_id is None


@pytest.mark.django_db
def test_repaired_jobs_run_to_their_end(work: None, acme: Tenant, tick: Tick, start: Start) -> None:
    execute("DELETE FROM scheduling_job_ready")
    execute("DELETE FROM scheduling_execution_live WHERE started_at IS NOT NULL")
    verify(repair=True)
    with all_tenants():
        waiting = set(Job.objects.filter(state=JobState.AVAILABLE).values_list("pk", flat=True))
    assert waiting
    for _ in range(2 * len(waiting)):
        tick()
        for job in in_flight():
            complete(start, job)
    with all_tenants():
        assert set(Job.objects.filter(pk__in=waiting).values_list("state", flat=True)) == {JobState.COMPLETED}


@pytest.mark.django_db
def test_repair_changes_only_faulty_rows(work: None, acme: Tenant, globex: Tenant) -> None:
    execute("UPDATE scheduling_tenant_capacity SET in_flight = in_flight + 1")
    report = verify(repair=True, tenant=acme)
    assert {tenant for _, tenant in report.findings} == {acme.pk}
    assert report.is_clean
    assert {tenant for _, tenant in verify().findings} == {globex.pk}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("created", "total", "code", "is_mended"),
    [(2, 3, "batch_short", False), (3, 2, "batch_over", True)],
)
def test_batch_counters_are_checked(acme: Tenant, created: int, total: int, code: str, is_mended: bool) -> None:
    jobs = submit(acme, created)
    execute(
        "INSERT INTO scheduling_batch (id, tenant_id, label, kind, total, created_at)"
        " VALUES (%(id)s, %(tenant)s, 'x', 'noop', %(total)s, now() - interval '1 hour')",
        id=(batch := uuid7()),
        tenant=acme.pk,
        total=total,
    )
    execute(
        "UPDATE scheduling_job SET batch_id = %(batch)s WHERE id = ANY(%(ids)s)", batch=batch, ids=[j.pk for j in jobs]
    )
    assert codes(verify()) == {code}
    assert verify(repair=True).is_clean is is_mended
    assert verify().is_clean is is_mended


@pytest.mark.django_db
def test_job_missing_before_its_end_is_found_as_lost(work: None) -> None:
    execute(f"DELETE FROM scheduling_job_ready WHERE job_id = {ONE_READY}")
    execute(
        "DELETE FROM scheduling_job WHERE state = 'available' AND NOT EXISTS"
        " (SELECT FROM scheduling_job_ready r WHERE r.job_id = id)"
    )
    assert "job_lost" in codes(verify(repair=True))


@pytest.mark.django_db
@pytest.mark.parametrize("hours", [2, -2, 119 * 24])
def test_history_with_a_changed_database_clock_is_clean(work: None, hours: int) -> None:
    execute(
        "UPDATE scheduling_jobevent SET at = at + make_interval(hours => %(hours)s) WHERE execution_id IS NOT NULL",
        hours=hours,
    )
    assert verify().is_clean


@pytest.mark.django_db
def test_history_of_a_deleted_tenant_is_found(work: None) -> None:
    ghost = UUID(int=uuid7().int - 1)
    execute("UPDATE scheduling_jobevent SET tenant_id = %(ghost)s WHERE name = 'job.cancelled'", ghost=ghost)
    report = verify(repair=True)
    assert ("history_without_tenant", ghost) in report.findings
    assert report.findings["history_without_tenant", ghost].examples == ["scheduling_jobevent"]


@pytest.mark.django_db
def test_rollup_without_history_is_found(work: None) -> None:
    assert verify().is_clean
    execute(
        "INSERT INTO scheduling_queue_minute"
        " (minute, queue_id, completed, failed, dead_letters, busy_us, wait, run)"
        " VALUES (date_trunc('hour', now() - interval '5 minutes') - interval '1 hour', 1, 7, 0, 0, 7, '{}', '{}')"
    )
    report = verify(repair=True)
    assert codes(report) == {"rollups"}
    assert not report.is_clean


@pytest.mark.django_db
def test_pieces_are_bounded_and_complete(work: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk.Table.look, "__kwdefaults__", {"parameters": None, "rows": 1})
    assert verify().is_clean
    execute("DELETE FROM scheduling_job_ready")
    with all_tenants():
        waiting = Job.objects.filter(state=JobState.AVAILABLE).count()
    report = verify()
    assert sum(f.number for (code, _), f in report.findings.items() if code == "job_nowhere") == waiting
    assert verify(repair=True).is_clean


@pytest.mark.django_db
def test_many_faults_are_counted_and_a_few_named(work: None, acme: Tenant) -> None:
    submit(acme, 30)
    execute("DELETE FROM scheduling_job_ready WHERE tenant_id = %(tenant)s", tenant=acme.pk)
    finding = verify().findings["job_nowhere", acme.pk]
    assert finding.number >= 30
    assert len(finding.examples) == verification.MAX_EXAMPLES


@pytest.mark.django_db
def test_fault_absent_at_the_second_look_is_dropped() -> None:
    looks = iter(
        [
            [ConsistencyFault("ledger", None, "1"), ConsistencyFault("ledger", None, "2")],
            [ConsistencyFault("ledger", None, "2")],
        ]
    )
    check = StateCheck("planted", (), lambda piece: CheckPage(piece, next(looks)))
    assert [fault.subject for fault in walk.check_twice(check, CheckRange()).faults] == ["2"]


def test_timeout_is_kept_despite_a_clean_second_look() -> None:
    looks = iter([[ConsistencyFault(NOT_PROVED.code, None, "1"), ConsistencyFault("ledger", None, "2")], []])
    check = StateCheck("planted", (), lambda piece: CheckPage(piece, next(looks)))
    assert [fault.code for fault in walk.check_twice(check, CheckRange()).faults] == [NOT_PROVED.code]


@pytest.mark.django_db
def test_refused_repair_is_rolled_back_and_reported(work: None, acme: Tenant) -> None:
    execute("DELETE FROM scheduling_job_due")

    def refuse(order: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM scheduling_job_ready")
            cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")

    check = next(check for check in state_checks() if check.name == "jobs")
    broken = StateCheck(check.name, check.kinds, check.look, refuse)
    (look,) = walk.iterate_pages(broken)
    left = verification.repair_faults(broken, look, reason="")
    assert {fault.code for fault in left} == {"job_nowhere"}
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action="state.repaired").exists()
    assert codes(verify()) == {"job_nowhere", "waiting_counter"}


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(2))
def test_random_walk_leaves_no_fault(acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, seed: int) -> None:
    predict("noop", 1_000)
    steps = Walk(seed, [acme, globex], tick, worker)
    for number in range(120):
        steps.step()
        if number % 4 == 0:
            assert codes(verify()) == set(), f"seed {seed}, step {number}"


class Crowd:
    """Three threads that submit, tick, start, end, suspend and cancel while the test's thread does something else."""

    def __init__(self, tenants: list[Tenant], pool: WorkerPool, worker: Registration) -> None:
        self.tenants, self.pool, self.worker = tenants, pool, worker
        self.is_over = threading.Event()
        acts = (self.submit, self.tick, self.tick, self.end, self.end, self.cancel, self.suspend, self.resume)
        self.acts: tuple[Callable[[random.Random], object], ...] = acts

    def beside(self, act: Callable[[], object]) -> None:
        with ThreadPoolExecutor(3) as threads:
            running = [threads.submit(self.go, number) for number in range(3)]
            try:
                act()
            finally:
                self.is_over.set()
            for each in running:
                each.result()

    def go(self, number: int) -> None:
        dice = random.Random(number)
        try:
            while not self.is_over.is_set():
                try:
                    dice.choice(self.acts)(dice)
                except DomainError:
                    continue  # a refusal is a valid result
        finally:
            connection.close()

    def submit(self, dice: random.Random) -> None:
        submit(dice.choice(self.tenants), dice.randint(1, 5), fair_key=dice.choice(["", "ann"]))

    def tick(self, dice: random.Random) -> None:
        run_tick(self.pool.pk)

    def end(self, dice: random.Random) -> None:
        with all_tenants():
            live = dice.choice(list(LiveExecution.objects.all()) or [None])
        worker_id = self.worker.worker_id
        started = live and start_execution(execution_id=live.id, token=live.token, worker_id=worker_id)
        if not started:
            return
        id_, fence, attempt = started.execution_id, started.fence, started.attempt
        failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=dice.random() < 0.5)
        policy = settlement_builders.RetryPolicy(started.max_retries)
        failed = settlement_builders.failed(id_, fence, failure, failed_attempts=attempt, policy=policy)
        settle(
            [dice.choice([Settlement.completed(id_, fence, None), settlement_builders.shut_down(id_, fence), failed])]
        )

    def cancel(self, dice: random.Random) -> None:
        self.on_job(dice, cancel_job)

    def suspend(self, dice: random.Random) -> None:
        self.on_job(dice, suspend_job)

    def resume(self, dice: random.Random) -> None:
        self.on_job(dice, resume_job)

    def on_job(self, dice: random.Random, act: Callable[..., object]) -> None:
        with tenant_context(dice.choice(self.tenants)):
            job = dice.choice(list(Job.objects.order_by("-id")[:40]) or [None])
            if job is not None:
                act(job_id=job.pk)


@pytest.fixture
def crowd(acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration) -> Crowd:
    return Crowd([acme, globex], pool, worker)


@pytest.mark.django_db(transaction=True)
def test_verification_of_a_live_system_finds_no_fault(crowd: Crowd, acme: Tenant) -> None:
    looks: list[StateReport] = []

    def look() -> None:
        while len(looks) < 12:
            looks.append(verify())

    crowd.beside(look)
    assert [codes(report) for report in looks] == [set()] * 12
    with all_tenants():
        assert JobEvent.objects.filter(state=JobState.COMPLETED).exists(), "there was something to look at"


@pytest.mark.django_db(transaction=True)
def test_repairs_of_a_live_system_leave_no_fault(crowd: Crowd, acme: Tenant, globex: Tenant) -> None:
    submit(acme, 30)

    def repair() -> None:
        for table, fault in (
            ("scheduling_tenant_capacity", "UPDATE scheduling_tenant_capacity SET in_flight = in_flight + 3"),
            ("scheduling_schedulingentity", "UPDATE scheduling_schedulingentity SET waiting = waiting + 5"),
            ("scheduling_job_ready", f"DELETE FROM scheduling_job_ready WHERE job_id IN {ONE_READY}"),
        ):
            with all_tenants(), transaction.atomic(), connection.cursor() as cursor:
                # It locks the rows in no order, so no other may hold some of them.
                cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
                cursor.execute(fault)
            for _ in range(3):
                report = verify(repair=True)
                if report.is_clean:
                    break
            assert report.is_clean, report.findings

    crowd.beside(repair)
    assert codes(verify()) == set()
    assert recount() == []
