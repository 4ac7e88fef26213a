"""Retention: rows expire by their tenant's plan, in batches, and the ledger balances before and after."""

from __future__ import annotations

import io
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models import Count
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.jobs.notes.service import add_note
from scheduling.models import (
    Batch,
    Charge,
    DeadLetter,
    Execution,
    Job,
    JobEvent,
    JobLog,
    JobLogTally,
    JobMeta,
    JobNote,
    JobSubject,
    Worker,
    WorkerPool,
)
from scheduling.upkeep.partitions import HISTORY_TABLES, list_partitions
from scheduling.upkeep.registry import UpkeepBudget
from scheduling.upkeep.retention import history, rules
from scheduling.upkeep.retention import jobs as job_retention
from scheduling.upkeep.retention import steps as retention
from scheduling.upkeep.retention.rules import Cutoffs, RetentionClass
from scheduling.upkeep.runs import run_upkeep
from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.service import record_audit
from tenants.context import all_tenants, tenant_context
from tenants.database.conf import platform_role
from tenants.database.ids import uuid7_floor
from tenants.database.partitions import create_partition
from tenants.models import AuditLogEntry, AuditRemoval, AuditSeal, LimitWarning, PlanLimit, Tenant, TenantSettings
from tests.auditing import audit_once
from tests.checks import faults_of
from tests.databases import connect_as_owner
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

_NUMBER = iter(range(1, 1_000_000))


def old_id(days: float) -> UUID:
    """Return an id created so many days ago."""
    return UUID(int=uuid7_floor(timezone.now() - timedelta(days=days)).int + next(_NUMBER))


def old_job(tenant: Tenant, state: str, *, days: float, batch: Batch | None = None, **columns: Any) -> Job:
    """Create a job that was submitted and, if it has ended, ended so many days ago."""
    moment = timezone.now() - timedelta(days=days)
    with all_tenants():
        job = Job.objects.create(
            id=old_id(days + 0.01),
            tenant=tenant,
            kind="noop",
            queue_id=1,
            state=state,
            rank=0,
            payload_hash=b"",
            run_at=moment,
            created_at=moment,
            finished_at=moment if state in {s.value for s in TERMINAL_STATES} else None,
            batch=batch,
            **columns,
        )
        if state in ("discarded", "quarantined"):
            DeadLetter.objects.create(
                id=old_id(days), tenant=tenant, job_id=job.pk, kind="noop", reason="permanent_error", created_at=moment
            )
    return job


def old_history(
    tenant: Tenant, *, days: float, measured_us: int = 1_000, predicted_us: int = 300, rate_milli: int = 1_000
) -> Execution:
    """Create an execution with its two charges and an event, all so many days old."""
    moment, job_id = timezone.now() - timedelta(days=days), old_id(days + 0.02)
    with all_tenants():
        execution = Execution.objects.create(
            id=old_id(days),
            tenant=tenant,
            job_id=job_id,
            queue_id=1,
            kind="noop",
            number=1,
            fence=1,
            outcome="completed",
            predicted_us=predicted_us,
            measured_us=measured_us,
            rate_milli=rate_milli,
            dispatched_at=moment,
            ended_at=moment,
        )
        first, due = (us * rate_milli // 1000 for us in (predicted_us, measured_us))
        for reason, amount in (("predicted", first), ("corrected", due - first)):
            Charge.objects.create(
                id=old_id(days),
                tenant=tenant,
                job_id=job_id,
                execution_id=execution.pk,
                queue_id=1,
                reason=reason,
                microseconds=amount,
                at=moment,
            )
        JobEvent.objects.create(
            id=old_id(days), tenant=tenant, job_id=job_id, at=moment, name="x", state="completed", actor="system"
        )
    return execution


def keep(tenant: Tenant, **days: int) -> None:
    """Set the days of the tenant's plan by class."""
    for name, value in days.items():
        PlanLimit.objects.update_or_create(plan=tenant.plan, key=f"retention.{name}_days", defaults={"value": value})


def jobs_left() -> set[UUID]:
    with all_tenants():
        return set(Job.objects.values_list("pk", flat=True))


def test_finished_jobs_are_removed_by_each_tenants_plan(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=30)
        keep(globex, finished_jobs=7)
    kept = {
        old_job(acme, "completed", days=29).pk,
        old_job(globex, "cancelled", days=6).pk,
    }
    for tenant, days in ((acme, 31), (globex, 8), (globex, 29)):
        old_job(tenant, "completed", days=days)
        old_job(tenant, "cancelled", days=days)
    run = run_upkeep(name="finished_jobs", batch_rows=2)
    assert (run.outcome, run.counts["jobs"]) == ("ok", 6)
    assert jobs_left() == kept
    again = run_upkeep(name="finished_jobs")
    assert (again.counts["jobs"], jobs_left()) == (0, kept)


def test_meta_and_notes_are_removed_with_their_job(acme: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=30)
    removed, kept = old_job(acme, "completed", days=31), old_job(acme, "completed", days=1)
    with tenant_context(acme):
        for job in (removed, kept):
            JobMeta.objects.create(tenant=acme, job_id=job.pk, name="order", value="4711")
            JobSubject.objects.create(tenant=acme, job_id=job.pk, subject=job.pk)
            add_note(job_id=job.pk, text="seen")
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 1
    with tenant_context(acme):
        assert list(JobMeta.objects.values_list("job_id", flat=True)) == [kept.pk]
        assert list(JobSubject.objects.values_list("job_id", flat=True)) == [kept.pk]
        assert list(JobNote.objects.values_list("job_id", flat=True)) == [kept.pk]


def test_unfinished_jobs_are_never_removed(acme: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=1, failed_jobs=1)
    alive = {old_job(acme, state.value, days=300).pk for state in JobState if state not in TERMINAL_STATES}
    dead = {old_job(acme, state.value, days=300).pk for state in TERMINAL_STATES}
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 2
    assert run_upkeep(name="failed_jobs").counts["jobs"] == 2
    assert jobs_left() == alive
    assert dead


def test_old_job_that_ended_lately_is_kept(acme: Tenant) -> None:
    job = old_job(acme, "completed", days=300)
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(days=1))
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 0
    assert jobs_left() == {job.pk}


def test_failed_jobs_are_removed_with_their_letters_after_finished_ones(acme: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=7, failed_jobs=30)
    young, old = old_job(acme, "discarded", days=20), old_job(acme, "quarantined", days=31)
    run_upkeep(name="finished_jobs")
    assert jobs_left() == {young.pk, old.pk}
    run = run_upkeep(name="failed_jobs")
    assert (run.counts["jobs"], run.counts["dead_letters"]) == (1, 1)
    with all_tenants():
        assert list(DeadLetter.objects.values_list("job_id", flat=True)) == [young.pk]


def test_batch_keeps_its_counts_and_is_removed_with_its_last_job(acme: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=7)
        batch = Batch.objects.create(id=old_id(400), tenant=acme, label="b", kind="noop", total=3)
        Batch.objects.filter(pk=batch.pk).update(created_at=timezone.now() - timedelta(days=400))
    old_job(acme, "completed", days=8, batch=batch)
    running = old_job(acme, "executing", days=8, batch=batch)
    old_job(acme, "completed", days=8, batch=batch)
    run_upkeep(name="finished_jobs")
    with all_tenants():
        left = Batch.objects.get()
        assert (left.pruned + Job.objects.filter(batch=batch).count(), left.pruned) == (left.total, 2)
        Job.objects.filter(pk=running.pk).update(state="completed", finished_at=timezone.now() - timedelta(days=8))
    assert run_upkeep(name="finished_jobs").counts["batches"] == 1
    with all_tenants():
        assert not Batch.objects.exists()


def test_children_outlive_their_parent(acme: Tenant) -> None:
    parent = old_job(acme, "completed", days=300)
    child = old_job(acme, "suspended", days=1, parent=parent)
    run_upkeep(name="finished_jobs")
    with all_tenants():
        assert Job.objects.get(pk=child.pk).parent_id is None


def test_interrupted_run_continues_and_removes_each_job_once(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        old_job(acme, "completed", days=300)
    prune, calls = job_retention.prune_finished_jobs, []

    def breaks(cutoffs: Any, *, limit: int) -> Any:
        calls.append(limit)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return prune(cutoffs, limit=limit)

    monkeypatch.setattr(job_retention, "prune_finished_jobs", breaks)
    broken = run_upkeep(name="finished_jobs", batch_rows=2)
    assert (broken.outcome, broken.counts["jobs"], len(jobs_left())) == ("failed", 2, 3)
    assert run_upkeep(name="finished_jobs", batch_rows=2).counts["jobs"] == 3
    assert jobs_left() == set()


@pytest.mark.django_db(transaction=True)
def test_locked_rows_are_skipped(acme: Tenant, django_db_setup: Any) -> None:
    locked, free = old_job(acme, "completed", days=300), old_job(acme, "completed", days=300)
    with connect_as_owner(django_db_setup.name) as other, other.transaction():
        other.execute("SELECT set_config('role', %s, true)", [platform_role()])
        other.execute("SELECT id FROM scheduling_job WHERE id = %s FOR UPDATE", [locked.pk])
        run = run_upkeep(name="finished_jobs")
        assert (run.outcome, run.counts["jobs"], jobs_left()) == ("ok", 1, {locked.pk})
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 1
    assert free.pk not in jobs_left()


def make_day(days_ago: int) -> None:
    """Create the partitions of a past day, as before it began."""
    day = datetime.now(tz=UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    with all_tenants():
        for table in HISTORY_TABLES:
            create_partition(table=table, starts_at=day, ends_at=day + timedelta(days=1))


def rows_of(model: Any) -> int:
    with all_tenants():
        return int(model.objects.count())


def test_days_beyond_every_plan_are_dropped_and_the_ledger_balances(acme: Tenant, globex: Tenant) -> None:
    make_day(500)
    make_day(20)
    for tenant in (acme, globex):
        for days in (499.5, 19.5):
            old_history(tenant, days=days, measured_us=random.randrange(10_000), predicted_us=random.randrange(10_000))
    before = {table: len(list_partitions(table)) for table in HISTORY_TABLES}
    run = run_upkeep(name="history")
    assert (run.outcome, run.counts["days_dropped"]) == ("ok", len(HISTORY_TABLES))
    assert {table: len(list_partitions(table)) for table in HISTORY_TABLES} == {t: n - 1 for t, n in before.items()}
    assert (rows_of(Execution), rows_of(JobEvent)) == (2, 2)
    assert faults_of("ledger") == []
    assert run_upkeep(name="history").counts.get("days_dropped", 0) == 0


def test_locked_day_stays_until_the_next_run(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, partition: str) -> None:
        raise OperationalError("lock timeout") from LockNotAvailable()

    make_day(500)
    old_history(acme, days=499.5)
    with monkeypatch.context() as patch:
        patch.setattr(history, "drop_partition", refuse)
        assert run_upkeep(name="history").counts["days_locked"] >= 1
    assert faults_of("ledger") == []
    assert run_upkeep(name="history").counts["days_dropped"] == len(HISTORY_TABLES)


@pytest.mark.parametrize("seed", range(3))
def test_pruning_in_any_order_keeps_the_ledger_balanced(acme: Tenant, globex: Tenant, seed: int) -> None:
    chance = random.Random(seed)
    with all_tenants():
        keep(globex, executions=7, events=7, charges=30)
        keep(acme, executions=90, events=90)
    for tenant in (acme, globex):
        for _ in range(12):
            old_history(
                tenant,
                days=chance.uniform(1, 600),
                measured_us=chance.randrange(10_000),
                predicted_us=chance.randrange(10_000),
                rate_milli=chance.randint(1, 1_000),
            )
    assert faults_of("ledger") == []
    for _ in range(60):
        phase = chance.randrange(len(retention._PHASES))
        retention.prune_history(UpkeepBudget(chance.randrange(1, 5), 60.0, {"phase": phase}))
        assert faults_of("ledger") == [], (seed, phase)
    run_upkeep(name="history", batch_rows=3)
    with tenant_context(globex):
        assert not Execution.objects.filter(id__lt=uuid7_floor(timezone.now() - timedelta(days=8))).exists()
    with tenant_context(acme):
        assert Execution.objects.count() == JobEvent.objects.count()
    assert faults_of("ledger") == []


def test_prune_without_its_closing_row_is_found(acme: Tenant) -> None:
    old_history(acme, days=300)
    run_upkeep(name="history")
    with all_tenants():
        assert Charge.objects.filter(reason=Charge.Reason.CLOSING).delete()[0] > 0
    assert faults_of("ledger")
    assert run_upkeep(name="verify_ledger").outcome == "failed"


def test_rows_outside_plans_are_removed_as_well(acme: Tenant) -> None:
    long_ago = timezone.now() - timedelta(days=60)
    with all_tenants():
        pool = WorkerPool.objects.get(name="default")
        facts = {"pool": pool, "hostname": "h", "pid": 1, "slots": 1, "started_at": long_ago, "heartbeat_at": long_ago}
        Worker.objects.create(**facts, status="stopped", stopped_at=long_ago)
        alive = Worker.objects.create(**facts, status="online")
    Session.objects.create(session_key="old", session_data="", expire_date=long_ago)
    Session.objects.create(session_key="new", session_data="", expire_date=timezone.now() + timedelta(days=1))
    with all_tenants():
        for period in ("2020-01-01", timezone.now().date().replace(day=1)):
            LimitWarning.objects.create(tenant=acme, key="k", period=period, percent=80, used=8, allowed=10)
    run = run_upkeep(name="platform_rows")
    went = {name: count for name, count in run.counts.items() if count}
    assert went == {"limit_warnings": 1, "sessions": 1, "workers": 1}
    assert [worker.pk for worker in Worker.objects.all()] == [alive.pk]
    assert max(run_upkeep(name="platform_rows").counts.values()) == 0


def test_real_jobs_are_pruned_completely(acme: Tenant, tick: Tick, start: Start) -> None:
    done, dead, waiting = submit(acme, 3)
    tick()
    complete(start, done)
    fail(start, dead, is_permanent=True)
    output = io.StringIO()
    with all_tenants(), connection.cursor() as cursor:
        for table, column in (("scheduling_job", "finished_at"), ("scheduling_deadletter", "created_at")):
            cursor.execute(f"UPDATE {table} SET {column} = {column} - interval '40 days'")
        cursor.execute("UPDATE scheduling_job SET id = %s WHERE id = %s", [old_id(41), done.pk])
    call_command("prune_finished", "--older-than-days", "30", "--dry-run", "--json", stdout=output)
    assert json.loads(output.getvalue()) == {"finished_jobs": 1, "failed_jobs": 0, "dry_run": True}
    assert len(jobs_left()) == 3
    output = io.StringIO()
    call_command("prune_finished", "--older-than-days", "30", "--tenant", "acme", "--json", stdout=output)
    assert json.loads(output.getvalue())["finished_jobs"] == 1
    assert jobs_left() == {dead.pk, waiting.pk}
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="jobs.pruned")
    assert (entry.tenant_id, entry.after["finished_jobs"]) == (acme.pk, 1)


def test_tenant_setting_shortens_and_never_lengthens_retention(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=30)
        keep(globex, finished_jobs=7)
        for tenant, days in ((acme, 3), (globex, 300)):
            TenantSettings.objects.create(tenant=tenant, stored={"retention.finished_jobs_days": days})
    for tenant in (acme, globex):
        for days in (4, 8):
            old_job(tenant, "completed", days=days)
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 3
    with all_tenants():
        assert [job.tenant_id for job in Job.objects.all()] == [globex.pk]


def test_job_log_is_removed_with_its_job(acme: Tenant) -> None:
    gone, kept = old_job(acme, "completed", days=300), old_job(acme, "completed", days=1)
    with all_tenants():
        for job in (gone, kept):
            JobLog.objects.create(
                tenant=acme,
                job_id=job.pk,
                execution_id=job.pk,
                attempt=1,
                level=20,
                message="hello",
                at=timezone.now(),
            )
            JobLogTally.objects.create(tenant=acme, job_id=job.pk, offered_bytes=5)
    assert run_upkeep(name="finished_jobs").counts["log_lines"] == 1
    with all_tenants():
        assert [line.job_id for line in JobLog.objects.all()] == [kept.pk]
        assert [row.job_id for row in JobLogTally.objects.all()] == [kept.pk]


@pytest.mark.django_db(transaction=True)
def test_audit_entries_are_removed_up_to_a_signed_head(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings
) -> None:
    with all_tenants():
        keep(acme, audit=30)
        keep(globex, audit=700)
        for tenant in (acme, globex):
            for number in range(4):
                record_audit(action="test.done", target=tenant, after={"number": number})
    audit_once()
    with all_tenants():
        before = dict(AuditSeal.objects.values_list("chain").annotate(n=Count("pk")))
    # Seals cannot be made older, so move the time of the run instead.
    read = rules.read_cutoffs

    def read_later(kept: RetentionClass, *, after: UUID) -> Cutoffs:
        page = read(kept, after=after)
        return Cutoffs(page.tenant_ids, [moment + timedelta(days=40) for moment in page.moments])

    monkeypatch.setattr(retention, "read_cutoffs", read_later)
    change_platform_settings(AUDIT_MINIMUM_DAYS=-40)
    run = run_upkeep(name="audit_log")
    audit_once()
    with all_tenants():
        after = dict(AuditSeal.objects.values_list("chain").annotate(n=Count("pk")))
    assert run.outcome == "ok"
    assert (after[acme.pk], after[globex.pk]) == (1, before[globex.pk])
    assert run.counts["chains"] == 2  # the platform's own is always included
    assert run_upkeep(name="audit_log").counts["chains"] == 1
    with all_tenants():
        assert AuditRemoval.objects.get().chain == PLATFORM_CHAIN
    assert run_upkeep(name="verify_audit").outcome == "ok"
