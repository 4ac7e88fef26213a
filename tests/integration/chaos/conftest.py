"""The platform's services in one process, with a client's log and an effects table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from uuid import UUID, uuid4

import pytest
from django.db import connection

from scheduling import models
from scheduling.dispatch.tick import TickResult
from scheduling.execution import settlement_builders
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.holds import begin_next_here
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution, start_executions
from scheduling.fleet.workers import Registration
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import JobEvent, LiveExecution
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.conf import platform_role
from tenants.models import Tenant
from tests.chaos.history import Effect, Event, Execution, History, Reply, Request
from tests.chaos.plugin.processor import SETTLED, TABLE
from tests.databases import TestDatabase, connect_as_owner
from tests.integration.scheduling import conftest as scheduling

pool, start, tick, worker = scheduling.pool, scheduling.start, scheduling.tick, scheduling.worker
CLIENT = Actor(kind="api_key", id="1", label="chaos")
_EFFECT = """
INSERT INTO chaos_effect (tenant_id, job_id, execution_id, fence, step, label, pid, seconds)
VALUES (%s, %s, %s, %s, %s, '', 0, %s)
"""
_EFFECTS = "SELECT at, tenant_id, job_id, execution_id, fence, step, label, seen, seconds FROM chaos_effect"
_OUTDATE = "UPDATE scheduling_execution_live SET lease_expires_at = now() - interval '1 second'"
_HASTEN = "UPDATE scheduling_job_due SET due_at = now() - interval '1 second'"


class Platform:
    """Acts of clients, a dispatcher and a worker, step by step."""

    def __init__(
        self,
        worker: Registration,
        tick: Callable[[], TickResult],
        start: Callable[..., StartedExecution | None],
    ) -> None:
        self._worker = worker
        self.tick = tick
        self._start = start
        self.requests: list[Request] = []
        # Start of each execution by the monotonic clock.
        self._began: dict[UUID, float] = {}
        # What waits in the lists that are held, by the ids of the holds.
        self._held: dict[UUID, dict[UUID, StartedExecution]] = {}

    def submit(self, tenant: Tenant, count: int = 1, *, steps: int = 1, failures: int = 0) -> list[Request]:
        """Submit jobs of a client, each with its own key; the kind does not matter here."""
        found = []
        kind, payload = ("fail", {"times": failures}) if failures else ("chaos_steps", {"steps": steps})
        for _ in range(count):
            key = f"key {len(self.requests) + len(found)}"
            with acting_as(CLIENT):
                bulk = submit_jobs(tenant=tenant, requests=[JobRequest("noop", payload=payload, idempotency_key=key)])
            reply = Reply(0.0, 201, bulk.accepted[0][1].job.pk)
            found.append(Request(tenant.pk, kind, payload, key, replies=[reply]))
        self.requests += found
        return found

    def begin(self, request: Request) -> StartedExecution:
        (job_id,) = request.job_ids
        started = self._start(job_id)
        assert started is not None
        self._began[started.execution_id] = time.monotonic()
        return started

    def begin_all(self) -> list[StartedExecution]:
        """Start all dispatched executions, message by message, as a worker does; of a list only the next one."""
        with all_tenants():
            found = LiveExecution.objects.filter(hold_id=None).order_by("token", "id").values_list("token", "id")
            messages = [(token, [id_ for _, id_ in rows]) for token, rows in groupby(found, key=itemgetter(0))]
        begun = [following for hold_id in self._held if (following := self._begin_next(hold_id)) is not None]
        for token, ids in messages:
            hold_id, worker_id = uuid4(), self._worker.worker_id
            members = start_executions(execution_ids=ids, token=token, worker_id=worker_id, hold_id=hold_id)
            begun += [member for member in members if member.has_begun]
            self._held[hold_id] = {member.execution_id: member for member in members if not member.has_begun}
        return begun

    def _begin_next(self, hold_id: UUID) -> StartedExecution | None:
        held = self._held[hold_id]
        begun = begin_next_here(list(held), hold_id=hold_id)
        return None if begun is None else replace(held.pop(begun.execution_id), fence=begun.fence)

    def step(self, started: StartedExecution, number: int = 0) -> None:
        """Save a checkpoint with its effect."""
        save_checkpoint(
            tenant_id=started.tenant_id,
            job_id=started.job_id,
            fence=started.fence,
            state={"done": number + 1},
            effects=lambda: self._leave(started, f"step {number}"),
        )

    def complete(self, started: StartedExecution) -> None:
        new_settlement = Settlement.completed(started.execution_id, started.fence, None)
        began = self._began.get(started.execution_id)
        seconds = None if began is None else time.monotonic() - began
        settle([new_settlement], effects=lambda: self._leave(started, SETTLED, seconds))

    def fail(self, started: StartedExecution) -> None:
        failure = settlement_builders.Failure("ValueError", "no", "")
        policy = settlement_builders.RetryPolicy(max_retries=started.max_retries)
        settle(
            [
                settlement_builders.failed(
                    started.execution_id, started.fence, failure, failed_attempts=started.attempt, policy=policy
                )
            ]
        )

    def lose_workers(self) -> None:
        """Let every lease expire, and run the sweep."""
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_OUTDATE)
        run_sweep()

    def let_back_offs_pass(self) -> None:
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_HASTEN)

    def run(self, request: Request) -> None:
        """Run a job from its dispatch to its completion."""
        self.tick()
        started = self.begin(request)
        self.step(started)
        self.complete(started)

    def history(self) -> History:
        columns = ("id", "at", "tenant_id", "job_id", "execution_id", "name", "state", "actor", "data")
        with all_tenants(), connection.cursor() as cursor:
            events = [Event(*row) for row in JobEvent.objects.values_list(*columns)]
            cursor.execute(_EFFECTS)
            effects = [Effect(*row) for row in cursor.fetchall()]
            columns = ("id", "job_id", "outcome", "measured_us")
            executions = [
                Execution(*row, measured_us / 1e6)
                for *row, measured_us in models.Execution.objects.values_list(*columns)
            ]
        return History(self.requests, events, effects, executions)

    def _leave(self, started: StartedExecution, step: str, seconds: float | None = None) -> None:
        with tenant_context(started.tenant_id), connection.cursor() as cursor:
            ids = [started.tenant_id, started.job_id, started.execution_id]
            cursor.execute(_EFFECT, [*ids, started.fence, step, seconds])


@pytest.fixture
def effects_table(transactional_db: None, django_db_setup: TestDatabase) -> Iterator[None]:
    """Create and drop the effects table as the owner of all tables."""
    role = connection.settings_dict["USER"]
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute(TABLE.format(app=role, platform=platform_role()))
        yield
        connection.close()
        owner.execute("DROP TABLE chaos_effect")


@pytest.fixture
def platform(
    effects_table: None,
    worker: Registration,
    tick: Callable[[], TickResult],
    start: Callable[..., StartedExecution | None],
) -> Platform:
    """Return services with a worker of four slots."""
    return Platform(worker, tick, start)
