"""A random walk over everything that can happen to jobs; after each step what must hold is recounted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.lifecycle import ALLOWED_TRANSITIONS, TERMINAL_STATES, JobState
from scheduling.models import Job, JobDue, JobEvent, LiveExecution, WorkerPool
from scheduling.retry import RetryPolicy
from scheduling.services import verdicts
from scheduling.services.cancellation import cancel_jobs
from scheduling.services.execution import StartedExecution, start_executions
from scheduling.services.job_requests import JobRequest
from scheduling.services.ledger import verify_ledger
from scheduling.services.lines import remove_idle_lines
from scheduling.services.pauses import pause_kind, resume_kind
from scheduling.services.retries import retry_jobs
from scheduling.services.settlement import settle
from scheduling.services.submission import submit_jobs
from scheduling.services.suspension import resume_job, suspend_job
from scheduling.services.workers import Registration
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tests.integration.scheduling.acts import Tick
from tests.predictions import predict

pytestmark = pytest.mark.django_db

STEPS = 150
# A job in exactly one place, and every counter equal to its recount (wakes not folded yet included).
RECOUNT = """
SELECT 'place', j.id::text FROM scheduling_job j
WHERE (j.state = 'available') <> (
        EXISTS (SELECT FROM scheduling_job_ready r WHERE r.job_id = j.id)
        OR EXISTS (SELECT FROM scheduling_job_held h WHERE h.job_id = j.id))
   OR (j.state = 'suspended') <> EXISTS (SELECT FROM scheduling_job_suspended s WHERE s.job_id = j.id)
   OR (j.state IN ('scheduled', 'retryable')) <> EXISTS (SELECT FROM scheduling_job_due d WHERE d.job_id = j.id)
   OR (j.state IN ('dispatched', 'executing'))
        <> EXISTS (SELECT FROM scheduling_execution_live l WHERE l.job_id = j.id AND l.fence = j.fence)
   OR (j.state IN ('discarded', 'quarantined')) <> EXISTS (SELECT FROM scheduling_deadletter d WHERE d.job_id = j.id)
UNION ALL
SELECT 'waiting', e.id::text FROM scheduling_schedulingentity e
WHERE e.waiting + (SELECT coalesce(sum(w.waiting_delta), 0) FROM scheduling_wake w WHERE w.entity_id = e.id)
   <> (SELECT count(*) FROM scheduling_job j WHERE j.tenant_id = e.tenant_id AND j.queue_id = e.queue_id
        AND j.fair_key = e.fair_key AND j.state IN ('available', 'scheduled', 'retryable'))
UNION ALL
SELECT 'entity in flight', e.id::text FROM scheduling_schedulingentity e
WHERE e.in_flight <> (SELECT count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live l WHERE l.entity_id = e.id
    UNION ALL SELECT message_id FROM scheduling_settled s WHERE s.entity_id = e.id) AS executions)
UNION ALL
SELECT 'of the keys', e.id::text FROM scheduling_schedulingentity e
    LEFT JOIN scheduling_schedulingentity k ON k.parent_id = e.id
WHERE e.parent_id IS NULL GROUP BY e.id
HAVING e.keys_waiting <> coalesce(sum(k.waiting), 0) OR e.keys_in_flight <> coalesce(sum(k.in_flight), 0)
UNION ALL
SELECT 'line', j.id::text FROM scheduling_job j JOIN (
    SELECT job_id, entity_id FROM scheduling_job_ready UNION ALL SELECT job_id, entity_id FROM scheduling_job_due
    UNION ALL SELECT job_id, entity_id FROM scheduling_job_held
    UNION ALL SELECT job_id, entity_id FROM scheduling_execution_live
) place ON place.job_id = j.id LEFT JOIN scheduling_schedulingentity e ON e.id = place.entity_id
WHERE (e.tenant_id, e.queue_id, e.fair_key) IS DISTINCT FROM (j.tenant_id, j.queue_id, j.fair_key)
UNION ALL
SELECT 'tenant in flight', c.tenant_id::text FROM scheduling_tenant_capacity c
WHERE c.in_flight <> (SELECT count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live l WHERE l.tenant_id = c.tenant_id
    UNION ALL SELECT message_id FROM scheduling_settled s WHERE s.tenant_id = c.tenant_id) AS executions)
"""


class Walk:
    """The acts to choose from, each on something chosen at random."""

    def __init__(self, seed: int, tenants: list[Tenant], tick: Tick, worker: Registration) -> None:
        self.random = random.Random(seed)
        self.tenants = tenants
        self.run_tick = tick
        self.worker = worker
        self.running: list[StartedExecution] = []
        self.zombies: list[StartedExecution] = []
        self.largest = 0
        self.acts: list[Callable[[], object]] = [
            self.submit,
            self.submit,
            self.tick,
            self.tick,
            self.tick,
            self.start,
            self.start,
            self.start,
            self.end,
            self.end,
            self.end_zombie,
            self.unpublish,
            self.let_time_pass,
            self.cancel,
            self.retry,
            self.suspend,
            self.resume,
            self.pause,
            self.come_due,
            self.remove_idle_lines,
        ]

    def step(self) -> None:
        try:
            self.random.choice(self.acts)()
        except DomainError:
            return  # a refusal is an answer

    def job(self) -> Job | None:
        with all_tenants():
            return self.random.choice(list(Job.objects.all()) or [None])

    def submit(self) -> None:
        later = timezone.now() + timedelta(hours=1)
        requests = [
            JobRequest(
                kind=self.random.choice(["noop", "noop", "sleep"]),
                payload={"seconds": 0},
                priority=self.random.choice([0, 0, 3]),
                fair_key=self.random.choice(["", "", "ann", "bob"]),
                run_at=self.random.choice([None, None, later]),
            )
            for _ in range(self.random.randint(1, 4))
        ]
        submit_jobs(tenant=self.random.choice(self.tenants), requests=requests)

    def tick(self) -> None:
        self.run_tick()

    def start(self) -> None:
        with all_tenants():
            live = self.random.choice(list(LiveExecution.objects.filter(started_at=None)) or [None])
            if live is None:
                return
            message = list(LiveExecution.objects.filter(message_id=live.message_id, started_at=None).order_by("id"))
        started = start_executions(
            execution_ids=[member.id for member in message], token=live.token, worker_id=self.worker.worker_id
        )
        assert len(started) == len(message)
        self.running += started
        self.largest = max(self.largest, len(started))

    def end(self) -> None:
        if not self.running:
            return
        # Members of a message and others, in whatever parts: some at once, some one by one.
        self.random.shuffle(self.running)
        count = self.random.choice([1, 1, 2, 5])
        ended, self.running = self.running[:count], self.running[count:]
        self.zombies += ended
        settle([self.verdict(execution) for execution in ended])

    def unpublish(self) -> None:
        """The broker takes no message, and the claim is undone."""
        with all_tenants():
            live = self.random.choice(list(LiveExecution.objects.filter(started_at=None)) or [None])
        if live is not None:
            settle([verdicts.unpublished(live.id, live.fence)])

    def let_time_pass(self) -> None:
        """What runs has run for a while, each for another."""
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE scheduling_execution_live SET started_at = started_at - %s * random() * interval '1 second'",
                [self.random.choice([0.01, 1, 60])],
            )

    def end_zombie(self) -> None:
        if self.zombies:
            assert settle([self.verdict(self.random.choice(self.zombies))]) == []

    def verdict(self, execution: StartedExecution) -> verdicts.Settlement:
        id_, fence = execution.execution_id, execution.fence
        failure = verdicts.Failure("ValueError", "no", "", is_permanent=self.random.random() < 0.3)
        return self.random.choice(
            [
                lambda: verdicts.completed(id_, fence, {"ok": True}),
                lambda: verdicts.yielded(id_, fence, {"at": 1}),
                lambda: verdicts.shut_down(id_, fence),
                lambda: verdicts.expired(id_, fence),
                lambda: verdicts.crashed(
                    id_, fence, crash_count=execution.crash_count, was_alone=True, cause="killed", is_lost=False
                ),
                lambda: verdicts.crashed(id_, fence, crash_count=0, was_alone=False, cause="silent", is_lost=True),
                lambda: verdicts.cancelled(id_, fence),
                lambda: verdicts.failed(
                    id_,
                    fence,
                    failure,
                    failed_attempts=execution.attempt,
                    policy=RetryPolicy(execution.max_retries),
                    outcome=verdicts.Outcome.TIMED_OUT,
                ),
                lambda: verdicts.crashed(
                    id_, fence, crash_count=0, was_alone=False, cause="killed", is_lost=True, was_merged=True
                ),
                lambda: verdicts.returned(id_, fence, cause="time"),
                lambda: replace(verdicts.completed(id_, fence, None), began_us=700, measured_us=300),
                lambda: verdicts.failed(
                    id_, fence, failure, failed_attempts=execution.attempt, policy=RetryPolicy(execution.max_retries)
                ),
            ]
        )()

    def on_job(self, act: Callable[..., object], **options: object) -> None:
        job = self.job()
        if job is not None:
            with tenant_context(job.tenant_id):
                act(**options, **self.named(act, job.pk))

    def named(self, act: Callable[..., object], job_id: UUID) -> dict[str, object]:
        return {"job_ids": [job_id]} if act in (cancel_jobs, retry_jobs) else {"job_id": job_id}

    def cancel(self) -> None:
        self.on_job(cancel_jobs)

    def retry(self) -> None:
        self.on_job(retry_jobs)

    def suspend(self) -> None:
        self.on_job(suspend_job)

    def resume(self) -> None:
        self.on_job(resume_job)

    def pause(self) -> None:
        self.random.choice([pause_kind, resume_kind])(kind="sleep")

    def remove_idle_lines(self) -> None:
        remove_idle_lines(10)

    def come_due(self) -> None:
        with all_tenants():
            JobDue.objects.update(due_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_every_counter_equals_its_recount(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, pool: WorkerPool, seed: int
) -> None:
    # Half of the kinds are small, and travel together.
    predict("noop", 1_000)
    walk = Walk(seed, [acme, globex], tick, worker)
    for number in range(STEPS):
        walk.step()
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(RECOUNT)
            assert cursor.fetchall() == [], f"seed {seed}, step {number}"
        assert verify_ledger().unbalanced == [], f"seed {seed}, step {number}"
    assert walk.largest > 1
    check_histories()


def check_histories() -> None:
    """Every job's events tell a legal story that ends in the state it is in."""
    with all_tenants():
        jobs = dict(Job.objects.values_list("id", "state"))
        events = list(JobEvent.objects.order_by("at", "id").values_list("job_id", "name", "state"))
    states: dict[UUID, JobState] = {}
    for job_id, name, after in events:
        before, states[job_id] = states.get(job_id), JobState(after)
        if before is None:
            assert name == "job.submitted"
        elif before is not states[job_id]:
            assert states[job_id] in ALLOWED_TRANSITIONS[before], (name, before, after)
        else:
            assert before not in TERMINAL_STATES, (name, before)
    assert states == jobs
