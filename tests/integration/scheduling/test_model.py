"""The real dispatcher beside the pure model, driven by the same events: the same picks in the same order."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now

from scheduling.models import CFSPlan, JobReady, LiveExecution, SchedulingEntity, Worker
from scheduling.models import Queue as QueueRow
from scheduling.selectors.fairness import effective_weights
from scheduling.services.cancellation import cancel_jobs
from scheduling.services.pauses import pause_queue, resume_queue
from scheduling.services.workers import Registration
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant as TenantRow
from tenants.services.tenants import create_tenant, pause_tenant, resume_tenant, update_tenant
from tests.fair_bugs import ForgetsCorrections, GivesCredit, IgnoresWeights
from tests.fair_model import Model, Queue, Tenant
from tests.integration.scheduling.acts import Start, Tick, complete, submit
from tests.predictions import predict

pytestmark = pytest.mark.django_db

STEPS = 70
COSTS = {"noop": 300_000, "sleep": 1_500_000}


class Walk:
    """Acts at random on both; ``differences`` is empty while the two agree."""

    def __init__(self, kind: type[Model], seed: int, tick: Tick, start: Start, slots: int) -> None:
        self.random = random.Random(seed)
        self.run_tick, self.start = tick, start
        self.differences: list[str] = []
        rows = [self.tenant(number, plan) for number, plan in enumerate(("team", "team", "sandbox"))]
        self.rows = {row.pk: row for row in rows}
        with all_tenants():
            plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").first()
            weights = effective_weights(QueueRow.objects.all(), plan)
        self.model = kind(
            slots=slots,
            queues={id_: Queue(weight * 1_000) for id_, weight in weights.items()},
            tenants={row.pk: Tenant(round(row.plan.weight * 1_000), row.concurrency_cap) for row in rows},
        )
        self.acts: list[Callable[[], object]] = [
            *[self.submit] * 4,
            *[self.tick] * 4,
            *[self.complete] * 5,
            self.cancel,
            self.pause,
            self.pause_queue,
            self.edit,
        ]

    def tenant(self, number: int, plan: str) -> TenantRow:
        return create_tenant(slug=f"tenant-{number}", name=f"Tenant {number}", plan=plan)

    def go(self) -> list[str]:
        for step in range(STEPS):
            self.random.choice(self.acts)()
            if self.differences:
                return [f"step {step}: {difference}" for difference in self.differences]
        return []

    def any_tenant(self) -> UUID:
        return self.random.choice(list(self.rows))

    def submit(self) -> None:
        id_, key = self.any_tenant(), self.random.choice(["", "", "ann", "bob", "cem"])
        kind = self.random.choice(list(COSTS))
        options = {"payload": {"seconds": 0}} if kind == "sleep" else {}
        jobs = submit(
            self.rows[id_],
            self.random.randint(1, 4),
            kind,
            fair_key=key,
            priority=self.random.choice([0, 0, 1]),
            **options,
        )
        with all_tenants():
            lines = dict(JobReady.objects.filter(job_id__in=[j.pk for j in jobs]).values_list("job_id", "entity_id"))
            own = SchedulingEntity.objects.get(tenant_id=id_, queue_id=jobs[0].queue_id, parent=None).pk
        entity = self.model.entity(jobs[0].queue_id, id_, own)
        for job in jobs:
            self.model.submit(entity, key, lines[job.pk], (job.rank, job.pk, COSTS[kind]))

    def tick(self) -> None:
        while self.run_tick().has_more:
            pass
        expected = self.model.tick()
        with all_tenants():
            picked = list(LiveExecution.objects.order_by("-id").values_list("job_id", flat=True)[: len(expected) or 1])
            count = LiveExecution.objects.count()
            clocks = {row.pk: row for row in SchedulingEntity.objects.all()}
        if count != len(self.model.running) or (expected and picked[::-1] != expected):
            self.differences.append(
                f"picked {picked[::-1]}, {count} run; expected {expected}, {len(self.model.running)}"
            )
        for _, entity in self.model.each_entity():
            row = clocks[entity.own.id]
            for key, line in entity.lines.items():
                found = row.own_vruntime if not key else clocks[line.id].vruntime
                if found != line.vruntime:
                    self.differences.append(f"line {key!r} of {entity.tenant_id}: {found}, expected {line.vruntime}")
            if (row.vruntime, row.virtual_time) != (entity.vruntime, entity.virtual_time):
                found = (row.vruntime, row.virtual_time)
                self.differences.append(f"tenant: {found}, expected {(entity.vruntime, entity.virtual_time)}")

    def complete(self) -> None:
        if not self.model.running:
            return
        job_id = self.random.choice(sorted(self.model.running))
        measured = self.random.randint(1, 3_000_000)
        with all_tenants():
            job = LiveExecution.objects.select_related("job").get(job_id=job_id).job
        complete(self.start, job)
        with all_tenants(), connection.cursor() as cursor:
            # What it took is ours to say, and teaches nothing.
            ours = "UPDATE scheduling_settled SET measured_us = %s, is_sample = false WHERE is_sample"
            cursor.execute(ours, [measured])
        self.model.end(job_id, measured)

    def cancel(self) -> None:
        with all_tenants():
            waiting = list(JobReady.objects.order_by("job_id").values_list("job_id", "tenant_id"))
        if waiting:
            job_id, tenant_id = self.random.choice(waiting)
            with tenant_context(tenant_id):
                cancel_jobs(job_ids=[job_id])
            self.model.cancel(job_id)

    def pause(self) -> None:
        id_ = self.any_tenant()
        tenant = self.model.tenants[id_]
        tenant.is_paused = not tenant.is_paused
        with all_tenants():
            row = TenantRow.objects.get(pk=id_)
        if tenant.is_paused:
            pause_tenant(tenant=row, reason="test")
        else:
            resume_tenant(tenant=row)

    def pause_queue(self) -> None:
        with all_tenants():
            row = self.random.choice(list(QueueRow.objects.filter(name__in=["workflow_team", "workflow_sandbox"])))
        queue = self.model.queues[row.pk]
        queue.is_paused = not queue.is_paused
        if queue.is_paused:
            pause_queue(queue=row, reason="test")
        else:
            resume_queue(queue=row)
        queue.was_backlogged = False

    def edit(self) -> None:
        id_, factor, cap = self.any_tenant(), self.random.choice([1, 2, 5]), self.random.randint(1, 5)
        row = update_tenant(tenant=self.rows[id_], changes={"weight_factor": Decimal(factor), "max_concurrency": cap})
        tenant = self.model.tenants[id_]
        tenant.weight_milli, tenant.cap = round(row.plan.weight * factor * 1_000), cap


@pytest.fixture
def walk(worker: Registration, tick: Tick, start: Start) -> Callable[[type[Model], int], list[str]]:
    """A walk with a model; what differs."""
    with all_tenants():
        Worker.objects.update(heartbeat_at=Now() + timedelta(hours=1))
    for kind, cost_us in COSTS.items():
        predict(kind, cost_us)
    return lambda kind, seed: Walk(kind, seed, tick, start, worker.slots).go()


@pytest.mark.parametrize("seed", range(3))
def test_the_dispatcher_picks_as_the_model_does(walk: Callable[[type[Model], int], list[str]], seed: int) -> None:
    assert walk(Model, seed) == []


@pytest.mark.parametrize("bug", [GivesCredit, ForgetsCorrections, IgnoresWeights])
def test_a_wrong_model_is_told_from_the_dispatcher(
    walk: Callable[[type[Model], int], list[str]], bug: type[Model]
) -> None:
    assert walk(bug, 0)
