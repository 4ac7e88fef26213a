"""A random walk over all transitions of jobs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from scheduling.execution import settlement_builders
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution, start_executions
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.fair_share_nodes import delete_idle_key_nodes
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_jobs
from scheduling.jobs.submission import submit_jobs
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.kit.retry import RetryPolicy
from scheduling.models import Job, JobDue, LiveExecution
from scheduling.stops.pauses import pause_kind, resume_kind
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Tick
from tests.integration.scheduling.startable_jobs import read_idle_slots

# A tick that has more is repeated at once; this limit is never reached.
MOST_TICKS = 50


class Walk:
    """The acts to choose from, each on a random target; the first of the kinds is chosen more often."""

    kinds: Mapping[str, Mapping[str, object]] = {"noop": {}, "sleep": {"seconds": 0}}

    def __init__(self, seed: int, tenants: list[Tenant], tick: Tick, worker: Registration) -> None:
        self.random = random.Random(seed)
        self.tenants = tenants
        self.run_tick = tick
        self.worker = worker
        self.running: list[StartedExecution] = []
        self.zombies: list[StartedExecution] = []
        self.largest = 0
        self.idle: list[str] = []
        self.swept = 0
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
            self.sweep,
        ]

    def step(self) -> None:
        try:
            self.random.choice(self.acts)()
        except DomainError:
            return  # a refusal is a valid result

    def job(self) -> Job | None:
        with all_tenants():
            return self.random.choice(list(Job.objects.all()) or [None])

    def submit(self) -> None:
        later = timezone.now() + timedelta(hours=1)
        requests = [
            JobRequest(
                kind=kind,
                payload=self.kinds[kind],
                priority=self.random.choice([0, 0, 3]),
                fair_key=self.random.choice(["", "", "ann", "bob"]),
                run_at=self.random.choice([None, None, later]),
                **self.keys(),
            )
            for kind in self.random.choices([*self.kinds, next(iter(self.kinds))], k=self.random.randint(1, 4))
        ]
        submit_jobs(tenant=self.random.choice(self.tenants), requests=requests)

    def keys(self) -> dict[str, str]:
        """Return the concurrency key and the unique key of a request."""
        return {}

    def tick(self) -> None:
        """Tick once, or as long as ticks have more; then no eligible job may wait beside an idle slot."""
        for _ in range(self.random.choice([1, MOST_TICKS, MOST_TICKS])):
            if not self.run_tick().has_more:
                self.idle += read_idle_slots(self.worker.pool_id)
                return

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
        self.running += [one for one in started if one.has_begun]
        self.largest = max(self.largest, len(started))
        # The rest of a list, as if its child stopped after the first.
        settle(
            [
                settlement_builders.returned(one.execution_id, one.fence, cause="a stop")
                for one in started
                if not one.has_begun
            ]
        )

    def end(self) -> None:
        if not self.running:
            return
        # Members of a message and others, in random parts: some together, some one by one.
        self.random.shuffle(self.running)
        count = self.random.choice([1, 1, 2, 5])
        ended, self.running = self.running[:count], self.running[count:]
        self.zombies += ended
        settle([self.new_settlement(execution) for execution in ended])

    def unpublish(self) -> None:
        """Let the broker refuse a message, and undo the claim."""
        with all_tenants():
            live = self.random.choice(list(LiveExecution.objects.filter(started_at=None)) or [None])
        if live is not None:
            settle([settlement_builders.unpublished(live.id, live.fence)])

    def let_time_pass(self) -> None:
        """Let each running execution have run for another while."""
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE scheduling_execution_live SET started_at = started_at - %s * random() * interval '1 second'",
                [self.random.choice([0.01, 1, 60])],
            )

    def end_zombie(self) -> None:
        if self.zombies:
            assert settle([self.new_settlement(self.random.choice(self.zombies))]) == []

    def new_settlement(self, execution: StartedExecution) -> settlement_builders.Settlement:
        id_, fence = execution.execution_id, execution.fence
        failure = settlement_builders.Failure("ValueError", "no", "", is_permanent=self.random.random() < 0.3)
        return self.random.choice(
            [
                lambda: Settlement.completed(id_, fence, {"ok": True}),
                lambda: settlement_builders.yielded(id_, fence, {"at": 1}),
                lambda: settlement_builders.put_off(id_, fence, {"at": 1}, seconds=5),
                lambda: settlement_builders.suspended(id_, fence, {"at": 1}, seconds=5),
                lambda: settlement_builders.shut_down(id_, fence),
                lambda: settlement_builders.expired(id_, fence),
                lambda: settlement_builders.crashed(
                    id_, fence, crash_count=execution.crash_count, was_alone=True, cause="killed", is_lost=False
                ),
                lambda: settlement_builders.crashed(
                    id_, fence, crash_count=0, was_alone=False, cause="silent", is_lost=True
                ),
                lambda: settlement_builders.cancelled(id_, fence),
                lambda: settlement_builders.failed(
                    id_,
                    fence,
                    failure,
                    failed_attempts=execution.attempt,
                    policy=RetryPolicy(execution.max_retries),
                    outcome=settlement_builders.Outcome.TIMED_OUT,
                ),
                lambda: settlement_builders.crashed(
                    id_, fence, crash_count=0, was_alone=False, cause="killed", is_lost=True, was_merged=True
                ),
                lambda: settlement_builders.returned(id_, fence, cause="time"),
                lambda: replace(Settlement.completed(id_, fence, None), began_us=700, measured_us=300),
                lambda: settlement_builders.failed(
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
        delete_idle_key_nodes(10)

    def sweep(self) -> None:
        """Let some leases expire and some messages stay unstarted for long, and run the sweep."""
        with all_tenants():
            ids = list(LiveExecution.objects.values_list("id", flat=True))
            lost = [id_ for id_ in ids if self.random.random() < 0.2]
            late = [id_ for id_ in ids if self.random.random() < 0.2]
            begun = LiveExecution.objects.filter(id__in=lost, started_at__isnull=False)
            begun.update(lease_expires_at=Now() - timedelta(seconds=1))
            LiveExecution.objects.filter(id__in=late).update(published_at=Now() - timedelta(hours=1))
        self.swept += run_sweep().rescued

    def come_due(self) -> None:
        with all_tenants():
            JobDue.objects.update(due_at=timezone.now() - timedelta(seconds=1))
