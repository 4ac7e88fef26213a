"""Gauges: they equal a recount of the jobs, and are written once a minute at any number of dispatchers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from scheduling.execution.start import start_executions
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import Job, LiveExecution, PoolGauge, Queue, QueueGauge, TenantGauge
from scheduling.statistics import gauges
from scheduling.statistics.gauges import GaugeSampler, sample_gauges
from scheduling.statistics.rollups import prune_rollups
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
WAITING = [JobState.AVAILABLE, JobState.SCHEDULED, JobState.RETRYABLE]


def recounted() -> dict[tuple[object, int], tuple[int, int, int, int]]:
    """Return waiting, dispatched, executing and backing-off jobs by tenant and queue, counted from the jobs."""
    counts = {
        name: Count("pk", filter=Q(state__in=states))
        for name, states in (
            ("waiting", WAITING),
            ("dispatched", [JobState.DISPATCHED]),
            ("executing", [JobState.EXECUTING]),
            ("backing_off", [JobState.RETRYABLE]),
        )
    }
    rows = Job.objects.order_by().values_list("tenant_id", "queue_id").annotate(**counts)
    return {(row[0], row[1]): row[2:] for row in rows if any(row[2:])}


def sampled() -> dict[tuple[object, int], tuple[int, int, int, int]]:
    rows = TenantGauge.objects.values_list("tenant_id", "queue_id", "waiting", "dispatched", "executing", "backing_off")
    return {(row[0], row[1]): row[2:] for row in rows if any(row[2:])}


def test_sample_equals_a_recount_of_the_jobs(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    lost, *_ = submit(acme, 5)
    done, *_ = submit(globex, 3, kind="sleep", payload={"seconds": 0})
    tick()
    fail(start, lost)
    complete(start, done)
    tick()
    with all_tenants():
        begin(start, Job.objects.filter(state=JobState.DISPATCHED)[0])
    sample_gauges()
    with all_tenants():
        expected = recounted()
        assert sampled() == expected
        assert sum(row[3] for row in expected.values()) == 1
        by_queue = {row.queue_id: row for row in QueueGauge.objects.all()}
        assert set(by_queue) == set(Queue.objects.values_list("pk", flat=True))
        for queue_id, row in by_queue.items():
            of_queue = [counts for (_, of), counts in expected.items() if of == queue_id]
            got = (row.waiting, row.dispatched, row.executing, row.backing_off)
            assert got == tuple(sum(column) for column in zip(*of_queue, strict=True)) or not of_queue
        oldest = Job.objects.filter(state=JobState.AVAILABLE).order_by("run_at")[0].run_at
        assert min(row.oldest_at for row in by_queue.values() if row.oldest_at) == oldest
        pool = PoolGauge.objects.get(pool__name="default")
        assert (pool.slots, pool.slots_milli) == (4, 1000 * LiveExecution.objects.count())


def test_second_sample_of_a_minute_replaces_the_first(acme: Tenant, tick: Tick, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    sample_gauges()
    with all_tenants():
        before = QueueGauge.objects.count(), TenantGauge.objects.count(), PoolGauge.objects.count()
        assert TenantGauge.objects.get().dispatched == 1
    complete(start, job)
    tick()
    sample_gauges()
    with all_tenants():
        assert (QueueGauge.objects.count(), TenantGauge.objects.count(), PoolGauge.objects.count()) == before
        row = TenantGauge.objects.get()
        assert (row.waiting, row.dispatched, row.executing, row.slots_milli) == (0, 0, 0, 0)
        assert set(QueueGauge.objects.values_list("slots_milli", flat=True)) == {0}


def test_recent_sample_of_another_dispatcher_is_kept(acme: Tenant, tick: Tick) -> None:
    sample_gauges()
    submit(acme)
    tick()
    assert sample_gauges(fresh_seconds=60, tenants_fresh_seconds=60) == 0
    with all_tenants():
        QueueGauge.objects.update(sampled_at=timezone.now() - timedelta(minutes=1, seconds=30))
    assert sample_gauges(fresh_seconds=60, tenants_fresh_seconds=60) > 0


def test_tenant_gauges_are_written_less_often_than_queue_gauges(acme: Tenant, tick: Tick) -> None:
    submit(acme)
    tick()
    sample_gauges()
    with all_tenants():
        TenantGauge.objects.update(executing=77)
        sample_gauges(tenants_fresh_seconds=60)
        assert TenantGauge.objects.get().executing == 77
        sample_gauges()
        assert TenantGauge.objects.get().executing == 0


def test_busy_time_of_a_running_job_is_limited_to_the_window(acme: Tenant, tick: Tick, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    with all_tenants():
        LiveExecution.objects.update(started_at=timezone.now() - timedelta(hours=1))
        sample_gauges()
        assert TenantGauge.objects.get().busy_us == 600_000_000


def test_jobs_of_one_message_hold_one_slot(acme: Tenant, tick: Tick, start: Start) -> None:
    first, *_ = submit(acme, 2)
    tick()
    with all_tenants():
        message = LiveExecution.objects.get(job_id=first.pk).message_id
        LiveExecution.objects.update(message_id=message)
        sample_gauges()
        row = TenantGauge.objects.get()
    assert (row.dispatched, row.slots_milli) == (2, 1000)


def test_waiting_jobs_of_a_held_list_have_no_part_of_its_slot(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration
) -> None:
    jobs = submit(acme) + submit(globex)
    tick()
    with all_tenants():
        live = [LiveExecution.objects.get(job_id=job.pk) for job in jobs]
        LiveExecution.objects.update(message_id=live[0].message_id, token=live[0].token, is_list=True)
    ids = [row.pk for row in live]
    assert start_executions(execution_ids=ids, token=live[0].token, worker_id=worker.worker_id)
    sample_gauges()
    with all_tenants():
        rows = {row.tenant_id: row for row in TenantGauge.objects.all()}
    assert [(rows[t.pk].executing, rows[t.pk].slots_milli) for t in (acme, globex)] == [(1, 1000), (0, 0)]
    assert rows[globex.pk].busy_us == 0


def test_heads_of_lines_are_read_up_to_the_limit(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, tick: Tick
) -> None:
    monkeypatch.setattr(gauges, "HEAD_LIMIT", 1)
    submit(acme, 6)
    submit(globex, 6)
    tick()  # without a worker: waiting jobs are counted, and none is dispatched
    sample_gauges()
    with all_tenants():
        assert TenantGauge.objects.count() == 1
        assert sum(QueueGauge.objects.values_list("waiting", flat=True)) == 12


def test_tenant_reads_only_its_own_gauges(acme: Tenant, globex: Tenant, tick: Tick) -> None:
    submit(acme)
    submit(globex)
    tick()
    sample_gauges()
    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM scheduling_tenant_gauge")
        assert cursor.fetchall() == [(acme.pk,)]


def test_sampler_rests_twenty_times_its_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = GaugeSampler()
    assert sampler.interval_seconds() == gauges.GAUGE_SECONDS
    clock = iter([10.0, 11.5])
    monkeypatch.setattr(gauges.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(gauges, "sample_gauges", lambda **seconds: 0)
    sampler.take_turn()
    assert sampler.interval_seconds() == pytest.approx(20 * 1.5)


def test_old_gauges_are_removed(acme: Tenant, tick: Tick) -> None:
    submit(acme)
    tick()
    sample_gauges()
    with all_tenants():
        for model in (QueueGauge, TenantGauge, PoolGauge):
            row = model.objects.all()[0]
            row.minute -= timedelta(days=9)
            row.save(force_insert=True)
    gone = prune_rollups(limit=100)
    assert {name: count for name, count in gone.items() if "gauge" in name} == {
        "tenant_gauge": 1,
        "queue_gauge": 1,
        "pool_gauge": 1,
    }
    with all_tenants():
        assert TenantGauge.objects.count() == 1
