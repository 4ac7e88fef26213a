"""The predictor on the real tables: SQL and pure code agree, and whole jobs are its samples."""

from __future__ import annotations

import random
from collections import defaultdict
from uuid import uuid4

import pytest
from django.db import connection
from psycopg.types.json import Jsonb

from scheduling.dispatch import pick
from scheduling.dispatch.collect import collect_settled
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.fairness.prediction import CostSums, Sample, cut_outlier, fold, predict
from scheduling.fleet.workers import Registration
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import JobReady, KindCost, LiveExecution, Queue, Settled, TenantKindCost, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.database.sql import load_sql
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit

pytestmark = pytest.mark.django_db

SECOND = 1_000_000
SUMS = ("n", "sum_x", "sum_y", "sum_xx", "sum_xy", "sum_yy", "least_us", "most_us", "error_us", "bias_us")
SQL = load_sql(pick.__file__)
READ = f"""
    SELECT {SQL["predicted_us"]}
    FROM jsonb_to_record(%s) AS r(tenant_id uuid, kind text, payload_bytes int, used_us bigint)
        JOIN scheduling_queue q ON q.name = 'tasks_team'
        {SQL["cost_sums"]}
"""


def random_sums(chance: random.Random) -> CostSums:
    """Return random sums of samples whose size explains everything, something or nothing."""
    slope, noise = chance.choice([0, 5, 50]), chance.choice([0, 100, 1_000_000])
    sums = None
    for _ in range(chance.randint(1, 80)):
        size = chance.choice([100, chance.randrange(262_144)])
        cost = slope * size + chance.randrange(noise + 1)
        sums = fold(sums, [Sample(size, cost) for _ in range(chance.randint(1, 3))])
    assert sums is not None
    return sums


def store(sums: CostSums | None, tenant: Tenant | None) -> None:
    if sums is None:
        return
    values = dict(zip(SUMS, (getattr(sums, name) for name in CostSums.__slots__), strict=True))
    values |= {"mean_us": 1, "samples": 1, "kind": "noop"}
    if tenant is None:
        KindCost.objects.create(**values)
    else:
        TenantKindCost.objects.create(tenant=tenant, **values)


@pytest.mark.parametrize("seed", range(40))
def test_sql_and_pure_code_predict_the_same(acme: Tenant, seed: int) -> None:
    chance = random.Random(seed)
    own = random_sums(chance) if chance.random() < 0.7 else None
    kind = random_sums(chance) if chance.random() < 0.9 else None
    with all_tenants(), connection.cursor() as cursor:
        store(own, acme)
        store(kind, None)
        expected = Queue.objects.get(name="tasks_team").expected_seconds * 1e6
        for _ in range(25):
            job = {
                "tenant_id": str(acme.pk),
                "kind": "noop",
                "payload_bytes": chance.randrange(262_144),
                "used_us": chance.choice([0, 0, chance.randrange(20 * SECOND)]),
            }
            cursor.execute(READ, [Jsonb(job)])
            pure = predict(
                own, kind, expected_us=round(expected), size=job["payload_bytes"], used_us=int(job["used_us"])
            )
            assert cursor.fetchone()[0] == pure


@pytest.mark.parametrize("seed", range(6))
def test_sql_and_pure_code_learn_the_same(acme: Tenant, globex: Tenant, pool: WorkerPool, seed: int) -> None:
    chance = random.Random(seed)
    queue = Queue.objects.get(name="tasks_team")
    sums: dict[object, CostSums | None] = defaultdict(lambda: None)
    known = 0
    for _ in range(8):
        rows = [random_settled(chance, chance.choice([acme, globex]), queue) for _ in range(chance.randint(1, 30))]
        with all_tenants():
            Settled.objects.bulk_create(rows)
            collect_settled(pool.pk)
        taught = [row for row in rows if row.is_sample]
        for owner in (acme.pk, globex.pk, None):
            new = [
                Sample(
                    row.payload_bytes,
                    cut_outlier(row.used_us, whole_predicted(row), known),
                    row.predicted_us - row.measured_us,
                )
                for row in taught
                if owner in (None, row.tenant_id)
            ]
            sums[owner] = fold(sums[owner], new) if new else sums[owner]
        known += len(taught)
    with all_tenants():
        kind = KindCost.objects.get()
        assert_same(kind.sums, sums[None])
        for cost in TenantKindCost.objects.all():
            assert_same(cost.sums, sums[cost.tenant_id])
    assert kind.samples == known


def random_settled(chance: random.Random, tenant: Tenant, queue: Queue) -> Settled:
    measured, before = chance.randrange(10 * SECOND), chance.choice([0, 0, chance.randrange(SECOND)])
    return Settled(
        tenant=tenant,
        entity_id=0,
        message_id=uuid4(),
        queue_id=queue.pk,
        kind="noop",
        predicted_us=chance.randrange(1, SECOND),
        measured_us=measured,
        weight_milli=1_000,
        queue_weight_milli=1_000,
        is_sample=chance.random() < 0.8,
        payload_bytes=chance.randrange(10_000),
        used_us=before + measured,
        ended_at="2026-01-02T03:04:05Z",
    )


def whole_predicted(row: Settled) -> int:
    return row.used_us - row.measured_us + row.predicted_us


def assert_same(found: CostSums, expected: CostSums | None) -> None:
    assert expected is not None
    for name in CostSums.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name


def test_payload_size_is_stored_with_the_ready_job_and_predicted_from(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    with all_tenants():
        store(fold(None, [Sample(size, 100 * size) for size in range(0, 5_000, 100)]), acme)
    small, large = (submit(acme, payload={"seconds": 0, "text": "x" * size}, kind="noop")[0] for size in (1_000, 4_000))
    with all_tenants():
        sizes = dict(JobReady.objects.values_list("job_id", "payload_bytes"))
    assert sizes == {job.pk: reload(job).payload_bytes for job in (small, large)}
    tick()
    with all_tenants():
        predicted = dict(LiveExecution.objects.values_list("job_id", "predicted_us"))
    assert predicted == {job_id: pytest.approx(100 * size, abs=1) for job_id, size in sizes.items()}


def costs() -> KindCost | None:
    with all_tenants():
        return KindCost.objects.first()


def let_run(seconds: float) -> None:
    """Set the start of all running executions so long ago."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_execution_live SET started_at = now() - make_interval(secs => %s)", [seconds])


def test_sliced_job_is_learned_whole_and_resumes_with_the_rest_predicted(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    with all_tenants():
        store(fold(None, [Sample(2, 60 * SECOND)]), acme)
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    let_run(20)
    settle([settlement_builders.yielded(started.execution_id, started.fence, {"at": 1})])
    with all_tenants():
        used = JobReady.objects.get(job_id=job.pk).used_us
    assert used == pytest.approx(20 * SECOND, rel=0.2)
    tick()
    assert costs() is None  # a slice is no sample
    with all_tenants():
        assert LiveExecution.objects.get().predicted_us == 60 * SECOND - used
    started = begin(start, job)
    let_run(10)
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    tick()
    cost = costs()
    assert cost is not None
    assert (cost.samples, cost.mean_us) == (1, reload(job).used_us)
    assert cost.mean_us == pytest.approx(30 * SECOND, rel=0.2)


@pytest.mark.parametrize(("has_checkpoint", "is_kept"), [(True, True), (False, False)])
def test_interrupted_time_counts_only_if_a_checkpoint_keeps_it(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, has_checkpoint: bool, is_kept: bool
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    let_run(5)
    if has_checkpoint:
        with all_tenants():
            type(job).objects.filter(pk=job.pk).update(checkpoint={"at": 1})
    settle([settlement_builders.shut_down(started.execution_id, started.fence)])
    assert (reload(job).used_us > 0) is is_kept


def test_suspension_keeps_size_and_used_time(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, payload={"text": "x" * 500})
    tick()
    started = begin(start, job)
    let_run(5)
    settle([settlement_builders.yielded(started.execution_id, started.fence, {"at": 1})])
    with all_tenants():
        before = JobReady.objects.values("payload_bytes", "used_us").get()
    with tenant_context(acme):
        suspend_job(job_id=job.pk, reason="look first")
        resume_job(job_id=job.pk)
    with all_tenants():
        assert JobReady.objects.values("payload_bytes", "used_us").get() == before
    assert before["used_us"] > 0


@pytest.mark.parametrize(("seconds", "teaches"), [(0, False), (30, True)])
def test_failure_is_a_sample_only_if_it_took_the_predicted_time(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, seconds: float, teaches: bool
) -> None:
    with all_tenants():
        store(fold(None, [Sample(2, 20 * SECOND)]), acme)
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    let_run(seconds)
    failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=True)
    settle(
        [
            settlement_builders.failed(
                started.execution_id,
                started.fence,
                failure,
                failed_attempts=1,
                policy=settlement_builders.RetryPolicy(0),
            )
        ]
    )
    tick()
    assert (costs() is not None) is teaches


def test_prediction_error_is_stored_with_its_sign(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    with all_tenants():
        store(fold(None, [Sample(2, 20 * SECOND)]), None)
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    let_run(10)
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    tick()
    with all_tenants():
        cost = TenantKindCost.objects.get()
    assert cost.mean_error == cost.bias == pytest.approx(1, rel=0.2)
