"""Rollups: each ended execution is counted once in its minute, and they equal a recount in any order of settlement."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone

from scheduling.consistency.rollups import RollupCheck, RollupDifference
from scheduling.execution import settlement_builders
from scheduling.execution.costs import UNKNOWN
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import Settlement, settle
from scheduling.models import (
    DeadLetter,
    Execution,
    KindMinute,
    LiveExecution,
    Queue,
    QueueMinute,
    ShareMinute,
    TenantMinute,
)
from scheduling.statistics import rollups
from scheduling.statistics.rollups import TallyFolder, fold_tallies, prune_rollups
from scheduling.statistics.throughput import COMPLETED, FAILED, read_recent_work
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tenants.tenancy.queries import read_pages
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, submit

pytestmark = pytest.mark.django_db

DAY = datetime(2026, 11, 20, tzinfo=UTC)
End = Callable[..., None]
_INSERT_TALLY = """
INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, wait_us, started_at, measured_us, ended_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def differences(*, since: datetime, until: datetime) -> list[RollupDifference]:
    """Return the rows of [since, until) that differ from a recount."""
    check = RollupCheck(since, until)
    return [row for page in read_pages() for row in check.check_page(page)] + check.finish()


def end_execution(tenant: Tenant, *, outcome: str, ended_at: datetime, took: timedelta, kind: str = "noop") -> None:
    """Store an execution and its tally, as settlement does."""
    microseconds = took // timedelta(microseconds=1)
    with all_tenants():
        Execution.objects.create(
            id=uuid7(),
            tenant=tenant,
            job_id=uuid7(),
            queue_id=1,
            kind=kind,
            number=1,
            fence=1,
            outcome=outcome,
            predicted_us=1,
            measured_us=microseconds,
            wait_us=1_000_000,
            dispatched_at=ended_at - took,
            started_at=ended_at - took,
            ended_at=ended_at,
        )
        with connection.cursor() as cursor:
            row = [tenant.pk, 1, kind, outcome, False, 1_000_000, ended_at - took, microseconds, ended_at]
            cursor.execute(_INSERT_TALLY, row)


def minutes_of(tenant: Tenant) -> dict[datetime, TenantMinute]:
    with tenant_context(tenant):
        return {row.minute: row for row in TenantMinute.objects.all()}


def test_settled_executions_are_counted_with_wait_and_dead_letter(acme: Tenant, tick: Tick, start: Start) -> None:
    done, lost = submit(acme, 2)
    tick()
    complete(start, done)
    fail(start, lost, is_permanent=True)
    assert fold_tallies() == 2
    with tenant_context(acme):
        rows = list(TenantMinute.objects.all())
    assert (sum(row.completed for row in rows), sum(row.failed for row in rows)) == (1, 1)
    assert sum(row.dead_letters for row in rows) == 1
    assert sum(sum(row.wait) for row in rows) == 2
    with all_tenants():
        executions = list(Execution.objects.all())
        kinds = list(KindMinute.objects.all())
        queues = list(QueueMinute.objects.all())
    assert {row.kind for row in kinds} == {"noop"}
    assert (sum(row.completed for row in kinds), sum(row.failed for row in kinds)) == (1, 1)
    assert sum(row.busy_us for row in kinds) == sum(row.measured_us for row in executions)
    assert sum(row.busy_us for row in rows) == sum(row.measured_us for row in executions)
    assert sum(row.completed for row in queues) == 1


def test_sizes_of_results_are_counted_in_the_minutes_of_kinds(acme: Tenant, tick: Tick, start: Start) -> None:
    jobs = submit(acme, 2)
    tick()
    first, second = (begin(start, job) for job in jobs)
    settle([Settlement.completed(first.execution_id, first.fence, {"text": "x" * 500})])
    fold_tallies()
    settle([Settlement.completed(second.execution_id, second.fence, None)])
    fold_tallies()
    with all_tenants():
        assert 500 < sum(row.result_bytes for row in KindMinute.objects.all()) < 600


def test_wait_is_counted_only_at_the_first_start(acme: Tenant, tick: Tick, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    first = begin(start, job)
    settle([settlement_builders.yielded(first.execution_id, first.fence, {})])
    tick()
    complete(start, job)
    fold_tallies()
    with tenant_context(acme):
        assert sum(sum(row.wait) for row in TenantMinute.objects.all()) == 1


def test_late_settlement_is_counted_in_the_minute_of_the_end(acme: Tenant, tick: Tick, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    begun = begin(start, job)
    with all_tenants():
        LiveExecution.objects.update(started_at=F("started_at") - timedelta(hours=1))
    new_settlement = Settlement.completed(begun.execution_id, begun.fence, {})
    new_settlement.bill(UNKNOWN, began_us=0, measured_us=1_000)
    settle([new_settlement])
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("""
            SELECT x.ended_at, s.ended_at, t.ended_at
            FROM scheduling_execution x, scheduling_settled s, scheduling_tally t
        """)
        (ends,) = cursor.fetchall()
    assert len(set(ends)) == 1
    assert timezone.now() - ends[0] > timedelta(minutes=59)
    fold_tallies()
    assert minutes_of(acme)[ends[0].replace(second=0, microsecond=0)].completed == 1
    hour = ends[0].replace(minute=0, second=0, microsecond=0)
    assert differences(since=hour, until=hour + timedelta(hours=2)) == []


def test_second_fold_counts_nothing_twice(acme: Tenant) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY, took=timedelta(seconds=1))
    assert fold_tallies() == 1
    before = minutes_of(acme)[DAY].completed
    assert fold_tallies() == 0
    assert minutes_of(acme)[DAY].completed == before == 1


def test_fold_that_is_full_is_followed_sooner_by_the_next(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "FOLD_ROWS", 2)
    for _ in range(5):
        end_execution(acme, outcome="completed", ended_at=DAY, took=timedelta(seconds=1))
    folder = TallyFolder()
    turns = [(folder.take_turn(), folder.interval_seconds()) for _ in range(3)]
    assert turns == [(2, rollups.NEXT_FOLD_SECONDS), (2, rollups.NEXT_FOLD_SECONDS), (1, rollups.FOLD_SECONDS)]
    assert minutes_of(acme)[DAY].completed == 5


def test_slot_time_is_counted_in_the_minutes_of_its_use(acme: Tenant) -> None:
    ended = DAY + timedelta(minutes=3, seconds=15)
    end_execution(acme, outcome="completed", ended_at=ended, took=timedelta(minutes=2, seconds=30))
    fold_tallies()
    rows = minutes_of(acme)
    busy = {(minute - DAY) // timedelta(minutes=1): row.busy_us for minute, row in rows.items()}
    assert busy == {0: 15_000_000, 1: 60_000_000, 2: 60_000_000, 3: 15_000_000}
    assert {row.completed for minute, row in rows.items() if minute < ended.replace(second=0)} == {0}


def test_late_commit_is_counted_in_its_own_minute(acme: Tenant) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY + timedelta(hours=1), took=timedelta(seconds=1))
    fold_tallies()
    end_execution(acme, outcome="failed", ended_at=DAY, took=timedelta(seconds=1))
    fold_tallies()
    assert (minutes_of(acme)[DAY].failed, minutes_of(acme)[DAY].completed) == (1, 0)


def test_tenant_reads_only_its_own_minutes(acme: Tenant, globex: Tenant) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY, took=timedelta(seconds=1))
    end_execution(globex, outcome="failed", ended_at=DAY, took=timedelta(seconds=1))
    fold_tallies()
    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM scheduling_tenant_minute")
        assert cursor.fetchall() == [(acme.pk,)]


@pytest.mark.parametrize("seed", range(3))
def test_rollups_equal_a_recount_in_any_order_of_settling_and_folding(acme: Tenant, globex: Tenant, seed: int) -> None:
    chance = random.Random(seed)
    expected: Counter[tuple[str, datetime]] = Counter()
    busy: Counter[str] = Counter()
    for _ in range(60):
        tenant, outcome = chance.choice([acme, globex]), chance.choice(Execution.Outcome.values)
        ended_at = DAY + timedelta(seconds=chance.randrange(7_200), microseconds=chance.randrange(1_000_000))
        took = timedelta(microseconds=chance.randrange(1, 200_000_000))
        end_execution(tenant, outcome=outcome, ended_at=ended_at, took=took, kind=chance.choice(["noop", "sleep"]))
        busy[tenant.slug] += took // timedelta(microseconds=1)
        if outcome in (*COMPLETED, *FAILED):
            expected[tenant.slug, ended_at.replace(second=0, microsecond=0)] += 1
        if chance.random() < 0.2:
            fold_tallies(limit=chance.randrange(1, 9))
        if chance.random() < 0.1:
            assert differences(since=DAY, until=DAY + timedelta(hours=2)) == []
    while fold_tallies(limit=7):
        assert differences(since=DAY, until=DAY + timedelta(hours=2)) == []
    for tenant in (acme, globex):
        rows = minutes_of(tenant)
        counted = {minute: row.completed + row.failed for minute, row in rows.items() if row.completed + row.failed}
        assert counted == {minute: n for (slug, minute), n in expected.items() if slug == tenant.slug}
        assert sum(row.busy_us for row in rows.values()) == busy[tenant.slug]
        assert all(row.busy_us <= 60_000_000 * 60 for row in rows.values())


def test_difference_in_each_rollup_is_found(acme: Tenant) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY + timedelta(minutes=1), took=timedelta(seconds=1))
    fold_tallies()
    until = DAY + timedelta(hours=1)
    with all_tenants():
        TenantMinute.objects.filter(completed=1).update(completed=2)
    assert {difference.rollup for difference in differences(since=DAY, until=until)} == {
        "tenant-minute",
        "tenant-minute runs",
        "queue-minute",
    }
    with all_tenants():
        TenantMinute.objects.filter(completed=2).update(completed=1)
        KindMinute.objects.filter(completed=1).update(kind="sleep")
    assert sorted((row.rollup, row.rolled, row.recounted) for row in differences(since=DAY, until=until)) == [
        ("kind-minute", "", "1/0"),
        ("kind-minute", "1/0", ""),
        ("kind-minute waits", "", "1"),
        ("kind-minute waits", "1", ""),
    ]
    with all_tenants():
        KindMinute.objects.all().delete()
    found = {row.rollup for row in differences(since=DAY, until=until)}
    assert found == {"kind-minute", "kind-minute waits", "tenant-minute"}


@pytest.mark.parametrize(
    ("planted", "rollups_named"),
    [
        ({"busy_us": 999_999}, {"tenant-minute", "tenant-minute busy", "queue-minute"}),
        ({"failed": 1}, {"tenant-minute", "tenant-minute runs", "queue-minute"}),
        ({"dead_letters": 3}, {"tenant-minute", "queue-minute"}),
        ({"run": [0] * 19}, {"tenant-minute runs"}),
    ],
)
def test_planted_error_of_a_minute_is_found_and_named(
    acme: Tenant, planted: dict[str, object], rollups_named: set[str]
) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY + timedelta(minutes=1, seconds=30), took=timedelta(seconds=1))
    fold_tallies()
    until = DAY + timedelta(hours=1)
    assert differences(since=DAY, until=until) == []
    with all_tenants():
        assert TenantMinute.objects.filter(completed=1).update(**planted) == 1
    assert {difference.rollup for difference in differences(since=DAY, until=until)} == rollups_named


def test_slot_time_of_a_later_end_is_recounted_in_its_minutes(acme: Tenant) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY + timedelta(minutes=75), took=timedelta(minutes=40))
    assert differences(since=DAY, until=DAY + timedelta(hours=1)) == []
    fold_tallies()
    assert differences(since=DAY, until=DAY + timedelta(hours=1)) == []
    with all_tenants():
        TenantMinute.objects.filter(minute=DAY + timedelta(minutes=50)).update(busy_us=1)
    found = differences(since=DAY, until=DAY + timedelta(hours=1))
    assert ("tenant-minute busy", "1", "60000000") in {(d.rollup, d.rolled, d.recounted) for d in found}


def test_verify_rollups_takes_hours(acme: Tenant) -> None:
    ended_at = datetime.now(tz=UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=2, minutes=10)
    end_execution(acme, outcome="completed", ended_at=ended_at, took=timedelta(seconds=1))
    fold_tallies()
    said = StringIO()
    call_command("verify", "rollups", "--hours", "3", stdout=said)
    assert "rollups: 1 tenants" in said.getvalue()
    with all_tenants():
        TenantMinute.objects.filter(completed=1).update(completed=2)
    with pytest.raises(CommandError, match="faults were found"):
        call_command("verify", "rollups", "--hours", "3", stdout=said, stderr=said)
    assert "tenant-minute of" in said.getvalue()


def test_missed_deadline_of_a_waiting_job_counts_as_a_dead_letter(acme: Tenant) -> None:
    submit(acme, deadline=datetime.now(tz=UTC) + timedelta(hours=1))
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_deadline SET deadline_at = now() - interval '1 second'")
    run_sweep()
    fold_tallies()
    with all_tenants():
        assert DeadLetter.objects.count() == 1
        (row,) = KindMinute.objects.all()
    assert (row.completed, row.failed, row.dead_letters) == (0, 0, 1)


def test_last_hour_is_read_by_minute_queue_and_tenant(acme: Tenant, globex: Tenant) -> None:
    now = DAY + timedelta(minutes=90, seconds=30)
    for minutes_ago, outcome in ((0, "completed"), (5, "failed"), (30, "completed"), (70, "completed")):
        ended = now - timedelta(minutes=minutes_ago)
        end_execution(acme, outcome=outcome, ended_at=ended, took=timedelta(seconds=2))
    end_execution(globex, outcome="completed", ended_at=now, took=timedelta(seconds=4))
    fold_tallies()
    with all_tenants():
        work = read_recent_work(now)
    assert (work.total.completed, work.total.failed) == (2, 1)
    assert [index for index, bucket in enumerate(work.buckets) if bucket.completed or bucket.failed] == [29, 54, 59]
    assert work.total.wait_p50 == pytest.approx(1.75, abs=0.75)
    with tenant_context(acme):
        own = read_recent_work(now)
    assert (own.total.completed, own.total.failed) == (1, 1)


def test_old_rollups_are_removed_once(acme: Tenant) -> None:
    end_execution(acme, outcome="completed", ended_at=DAY - timedelta(days=500), took=timedelta(seconds=1))
    end_execution(acme, outcome="completed", ended_at=datetime.now(tz=UTC), took=timedelta(microseconds=1))
    fold_tallies()
    with all_tenants():
        for minute in (DAY - timedelta(days=500), datetime.now(tz=UTC)):
            ShareMinute.objects.create(
                tenant=acme, minute=minute, queue=Queue.objects.all()[0], entitled_us=1, backlogged_us=1
            )
        kept = [table.objects.count() for table in (QueueMinute, TenantMinute, KindMinute, ShareMinute)]
    gone = prune_rollups(limit=100)
    assert set(gone) == {table.removeprefix("scheduling_") for table, _ in rollups.KEPT_DAYS}
    assert min(gone[name] for name in ("queue_minute", "tenant_minute", "kind_minute", "share_minute")) >= 1
    assert set(prune_rollups(limit=100).values()) == {0}
    with all_tenants():
        left = [table.objects.count() for table in (QueueMinute, TenantMinute, KindMinute, ShareMinute)]
    assert all(1 <= after < before for after, before in zip(left, kept, strict=True))
