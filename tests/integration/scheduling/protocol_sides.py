"""The two sides of the stateful test: the product on PostgreSQL, the store in memory, and their comparison."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis
from django.db.models import Count
from hypothesis.stateful import RuleBasedStateMachine, invariant

from scheduling.dispatch.loop import DispatchLoop
from scheduling.dispatch.tick import run_tick
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution, start_executions
from scheduling.fleet.workers import register_worker
from scheduling.kit.retry import RetryPolicy
from scheduling.models import Execution, FairShareNode, Job, LiveExecution, Settled, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant, update_tenant
from tests.brokers import empty_database
from tests.checks import faults_of
from tests.integration.scheduling.dispatch.test_invariants import check_histories, recount
from tests.predictions import predict
from tests.protocol_rows import Hint, Id, JobRow, LiveRow
from tests.protocol_store import Store

POOL = "default"
PLANS = {"acme": "team", "globex": "sandbox"}
# Jobs of this kind are short, and travel in lists.
LISTED, LISTED_US = "noop_task", 5_000
# Far apart, and no sum of jumps is close to another, so that the machine's own time has no effect.
JUMP_SECONDS, LEASE_SECONDS, REPUBLISH_SECONDS, PUT_OFF_SECONDS = 1_500, 3_600, 5_400, 600


class MemoryStore(Store):
    lease_seconds = LEASE_SECONDS
    republish_seconds = REPUBLISH_SECONDS


@dataclass(frozen=True, slots=True)
class Claim:
    """A dispatch as a dispatcher remembers it."""

    execution: Id
    fence: int
    job: JobRow


@dataclass(frozen=True, slots=True)
class OwnedExecution:
    """An execution as a worker remembers it for ever."""

    execution: StartedExecution
    worker: Id
    job: JobRow
    hold: UUID


class ProtocolSides(RuleBasedStateMachine):
    """Both sides; `client` is the broker, and `reset` empties the database after each history."""

    def __init__(self, client: redis.Redis, reset: Callable[[], None]) -> None:
        super().__init__()
        self.client, self.reset = client, reset
        empty_database(client)
        self.pool_id = WorkerPool.objects.get(name=POOL).pk
        self.tenants = {slug: create_tenant(slug=slug, plan=plan) for slug, plan in PLANS.items()}
        self.workers = [
            register_worker(pool_name=POOL, hostname="test", pid=pid, slots=slots).worker_id
            for pid, slots in ((1, 3), (2, 2))
        ]
        self.model = MemoryStore(dict.fromkeys(PLANS, 2))
        predict(LISTED, LISTED_US)
        self.model.beats = dict.fromkeys(self.workers, 0.0)
        for tenant in PLANS:
            self.set_cap(tenant, 2)
        self.dispatcher = DispatchLoop(threading.Event(), duties=())
        self.paused: set[str] = set()
        self.tokens: set[Id] = set()
        self.hints: list[Hint] = []
        # Those of `protocol_lists.Hold` that had an execution.
        self.holds: list[Any] = []
        self.claims: list[Claim] = []
        self.owned_executions: list[OwnedExecution] = []

    @invariant()
    def agrees_with_the_model(self) -> None:
        with all_tenants():
            rows = Job.objects.values_list("id", "state", "attempt", "crash_count", "fence", "progress_current")
            jobs = {id_: facts for id_, *facts in rows}
            executions = {
                row.pk: [
                    row.job_id,
                    row.message_id,
                    row.token,
                    row.worker_id,
                    row.hold_id,
                    row.fence,
                    row.started_at is not None,
                    bool(row.cancel_requested_at),
                ]
                for row in LiveExecution.objects.all()
            }
        assert jobs == {
            job.id: [job.state, job.attempt, job.crash_count, job.fence, job.effects]
            for job in self.model.jobs.values()
        }
        assert executions == {
            live.id: [
                live.job.id,
                live.place,
                live.token,
                live.worker,
                live.hold,
                live.fence,
                live.has_begun,
                live.is_cancel_requested,
            ]
            for live in self.model.live.values()
        }
        assert recount() == []

    def teardown(self) -> None:
        try:
            check_histories()
            assert faults_of("ledger") == []
            with all_tenants():
                ended = Execution.objects.filter(outcome=Execution.Outcome.COMPLETED).values("job_id")
                assert not ended.annotate(times=Count("id")).filter(times__gt=1)
        finally:
            self.reset()

    def job_of(self, number: int) -> JobRow:
        jobs = list(self.model.jobs.values())
        return jobs[-1 - number % len(jobs)]

    def tenant_of(self, slug: str) -> Tenant:
        with all_tenants():
            return Tenant.objects.get(slug=slug)

    def set_cap(self, tenant: str, cap: int) -> None:
        update_tenant(tenant=self.tenant_of(tenant), changes={"max_concurrency": cap})
        self.model.caps[tenant] = cap

    def is_taken(self, job: JobRow, act: Callable[..., object]) -> bool:
        try:
            with tenant_context(self.tenants[job.tenant]):
                act(job_id=job.id, reason="a test")
        except DomainError:
            return False
        return True

    def settle_both(self, new_settlement: settlement_builders.Settlement, job: JobRow) -> None:
        assert bool(settle([new_settlement])) is self.model.settle(new_settlement, job)

    def start_both(self, hint: Hint, worker: Id, hold: UUID) -> tuple[list[StartedExecution], list[LiveRow]]:
        """Hold the executions of a message on both sides, which must get the same."""
        started = start_executions(execution_ids=hint.executions, token=hint.token, worker_id=worker, hold_id=hold)
        lives = self.model.hold(hint, worker, hold)
        assert [(one.execution_id, one.fence, one.has_begun) for one in started] == [
            (live.id, live.fence, live.has_begun) for live in lives
        ]
        return started, lives

    def tick_both(self) -> bool:
        with all_tenants():
            # Without samples a job of `noop` is long, and has a message of its own; predictions do not change.
            Settled.objects.update(is_sample=False)
            # As many jobs are read of a tenant as fill lists by this estimate.
            FairShareNode.objects.update(estimate_us=LISTED_US)
        self.model.stage_due()
        result = run_tick(self.pool_id)
        self.model.collect()
        with all_tenants():
            rows = list(LiveExecution.objects.exclude(id__in=list(self.model.live)))
        for row in rows:
            job = self.model.jobs[row.job_id]
            assert self.model.is_claimable(job)
            assert job.tenant not in self.paused
            has_room = self.model.in_flight[job.tenant] < self.model.caps[job.tenant]
            assert has_room or self.model.has_place(row.message_id, job)
            live = self.model.hand_out(job, row.pk, place=row.message_id, is_list=row.is_list)
            live.token = self.model.last_token[row.pk] = row.token
            self.tokens.add(row.token)
            self.claims.append(Claim(row.pk, row.fence, job))
        return result.has_more

    def read_tokens(self) -> None:
        """Read the tokens of republished messages, each of which must be new."""
        renewed = {live.id for live in self.model.live.values() if isinstance(live.token, int)}
        with all_tenants():
            tokens = dict(LiveExecution.objects.filter(id__in=renewed).values_list("id", "token"))
        assert not self.tokens.intersection(tokens.values())
        self.tokens.update(tokens.values())
        for id_, token in tokens.items():
            self.model.live[id_].token = self.model.last_token[id_] = token


def verdict_on(one: StartedExecution, way: str) -> settlement_builders.Settlement:
    id_, fence = one.execution_id, one.fence
    match way:
        case "completed":
            return Settlement.completed(id_, fence, {"ok": True})
        case "failed" | "permanent":
            failure = settlement_builders.Failure("ValueError", "no", "", is_permanent=way == "permanent")
            policy = RetryPolicy(one.max_retries)
            return settlement_builders.failed(id_, fence, failure, failed_attempts=one.attempt, policy=policy)
        case "yielded":
            return settlement_builders.yielded(id_, fence, {"at": 1})
        case "put_off":
            return settlement_builders.put_off(id_, fence, {"at": 1}, seconds=PUT_OFF_SECONDS)
        case "suspended":
            return settlement_builders.suspended(id_, fence, {"at": 1}, seconds=None)
        case "shut_down":
            return settlement_builders.shut_down(id_, fence)
        case "cancelled":
            return settlement_builders.cancelled(id_, fence)
        case "returned":
            return settlement_builders.returned(id_, fence, cause="time")
    return settlement_builders.crashed(
        id_, fence, crash_count=one.crash_count, was_alone=True, cause="killed", is_lost=False
    )
