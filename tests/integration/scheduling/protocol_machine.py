"""The protocol on PostgreSQL and a broker with real commits, beside the store in memory, move by move.

Hypothesis chooses the moves, and after each of them both sides must have the same state of every job and execution.
A fetched message can be started at any later time, repeatedly; a worker may end an execution long after it was given
to another.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import timedelta
from unittest import mock

from django.db import connection
from django.db.models import F
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from scheduling.celery import publishing
from scheduling.celery.tasks import read_hint
from scheduling.dispatch import broker_probes
from scheduling.exceptions import FenceLostError
from scheduling.execution import settlement_builders
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.leases import heartbeat
from scheduling.execution.rescue import run_sweep
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_jobs
from scheduling.jobs.submission import submit_job
from scheduling.jobs.suspension import resume_job, suspend_job, wake_jobs
from scheduling.models import Execution, Job
from tenants.context import all_tenants, tenant_context
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.brokers import empty_database
from tests.integration.scheduling.protocol_lists import ListMoves
from tests.integration.scheduling.protocol_sides import JUMP_SECONDS, LISTED, PLANS, POOL, verdict_on
from tests.integration.scheduling.startable_jobs import read_idle_slots
from tests.protocol_rows import Hint

QUEUES = ("tasks_team", "tasks_sandbox")
DELAY = timedelta(minutes=10)
MOST_TICKS = 20
WAYS = (
    "completed",
    "completed",
    "failed",
    "permanent",
    "yielded",
    "shut_down",
    "crashed",
    "cancelled",
    "returned",
    "put_off",
    "suspended",
)

_JUMP = """
WITH executions AS (
    UPDATE scheduling_execution_live SET published_at = published_at - %(by)s, dispatched_at = dispatched_at - %(by)s,
        started_at = started_at - %(by)s, lease_expires_at = lease_expires_at - %(by)s
), due AS (UPDATE scheduling_job_due SET due_at = due_at - %(by)s)
UPDATE scheduling_worker SET heartbeat_at = heartbeat_at - %(by)s
"""

some = st.integers(0, 10**6)


class ProtocolMachine(ListMoves):
    """The moves of the protocol."""

    # People -----------------------------------------------------------------------------------------------

    @initialize()
    def begin_with_work(self) -> None:
        for tenant in PLANS:
            self.submit(tenant, retries=1, is_late=False, is_small=False)

    @rule(
        tenant=st.sampled_from(sorted(PLANS)),
        retries=st.sampled_from([0, 1, 3]),
        is_late=st.booleans(),
        is_small=st.booleans(),
    )
    def submit(self, tenant: str, retries: int, is_late: bool, is_small: bool) -> None:
        later = timezone.now() + DELAY if is_late else None
        request = JobRequest(kind=LISTED if is_small else "noop", max_retries=retries, run_at=later)
        job = submit_job(tenant=self.tenants[tenant], request=request).job
        self.model.submit(
            tenant, POOL, max_retries=retries, delay=DELAY.total_seconds() if is_late else 0.0, id_=job.pk
        )

    @precondition(lambda self: self.model.jobs)
    @rule(number=some)
    def cancel(self, number: int) -> None:
        job = self.job_of(number)
        with tenant_context(self.tenants[job.tenant]):
            assert bool(cancel_jobs(job_ids=[job.id])) is self.model.cancel(job)

    @precondition(lambda self: self.model.jobs)
    @rule(number=some)
    def suspend(self, number: int) -> None:
        job = self.job_of(number)
        assert self.is_taken(job, suspend_job) is self.model.suspend(job)

    @precondition(lambda self: self.model.jobs)
    @rule(number=some)
    def resume(self, number: int) -> None:
        job = self.job_of(number)
        assert self.is_taken(job, resume_job) is self.model.make_ready(job, {JobState.SUSPENDED})

    @precondition(lambda self: self.model.jobs)
    @rule(number=some)
    def wake(self, number: int) -> None:
        job = self.job_of(number)
        with tenant_context(self.tenants[job.tenant]):
            woken = wake_jobs(job_ids=[job.id])
        assert (woken == {job.id}) is self.model.wake(job)

    @precondition(lambda self: any(job.state is JobState.RETRYABLE for job in self.model.jobs.values()))
    @rule(number=some)
    def hasten(self, number: int) -> None:
        backing_off = [job for job in self.model.jobs.values() if job.state is JobState.RETRYABLE]
        job = backing_off[number % len(backing_off)]
        with tenant_context(self.tenants[job.tenant]):
            assert retry_jobs(job_ids=[job.id]).hastened == {job.id}
        assert self.model.make_ready(job, {JobState.RETRYABLE})

    @rule(tenant=st.sampled_from(sorted(PLANS)), cap=st.sampled_from([1, 2, 5]))
    def change_cap(self, tenant: str, cap: int) -> None:
        self.set_cap(tenant, cap)

    @rule(tenant=st.sampled_from(sorted(PLANS)))
    def pause(self, tenant: str) -> None:
        row = self.tenant_of(tenant)
        if tenant in self.paused:
            resume_tenant(tenant=row)
        else:
            pause_tenant(tenant=row, reason="a test")
        self.paused ^= {tenant}

    # Dispatchers ------------------------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        """Tick as long as ticks have more; then no eligible job may wait beside an idle slot."""
        for _ in range(MOST_TICKS):
            if not self.tick_both():
                break
        assert read_idle_slots(self.pool_id) == []

    @rule()
    def tick_with_the_broker_away(self) -> None:
        """Tick with the broker unreachable: claims are undone."""
        refused: list[publishing.Hint] = []

        def refuse(hints: Sequence[publishing.Hint]) -> Sequence[publishing.Hint]:
            refused.extend(hints)
            return hints

        with mock.patch.object(publishing, "publish", refuse):
            self.tick_both()
        with all_tenants():
            undone = {id_: hint.token for hint in refused for id_ in hint.execution_ids}
            claimed = dict(Execution.objects.filter(id__in=undone).values_list("id", "job_id"))
        lives = [self.model.hand_out(self.model.jobs[claimed[id_]], id_, place=undone[id_]) for id_ in claimed]
        for live in lives:
            assert self.model.settle(settlement_builders.unpublished(live.id, live.fence))
        assert len(claimed) == len(undone)

    @precondition(lambda self: self.claims)
    @rule(number=some)
    def undo(self, number: int) -> None:
        """Undo a claim whose publication was not confirmed, however late."""
        claim = self.claims[-1 - number % len(self.claims)]
        self.settle_both(settlement_builders.unpublished(claim.execution, claim.fence), claim.job)

    @rule()
    def sweep(self) -> None:
        result = run_sweep()
        assert result.rescued == len(self.model.rescue())
        assert result.republished == len(self.model.republish())
        self.read_tokens()

    @rule()
    def flush_broker(self) -> None:
        empty_database(self.client)

    @rule()
    def look_at_broker(self) -> None:
        if not self.client.exists(broker_probes.EPOCH_KEY):
            self.model.republish(is_epoch_new=True)
        self.dispatcher._probe_broker()
        self.read_tokens()

    # Workers ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.claims)
    @rule(number=some, is_first=st.booleans())
    def lose(self, number: int, is_first: bool) -> None:
        """Remove a message from the broker in any order, with its worker; it may be started later all the same."""
        self._fetch(number, is_first=is_first)

    @precondition(lambda self: self.claims)
    @rule(number=some, worker=st.integers(0, 1), is_first=st.booleans())
    def deliver(self, number: int, worker: int, is_first: bool) -> None:
        """Take a message from the broker and start it."""
        if self._fetch(number, is_first=is_first):
            self.begin_both(self.hints[-1], worker)

    @precondition(lambda self: self.hints)
    @rule(number=some, worker=st.integers(0, 1))
    def begin_again(self, number: int, worker: int) -> None:
        """Start any message that ever left the broker: late, twice, or after a replacement."""
        self.begin_both(self.hints[-1 - number % len(self.hints)], worker)

    @precondition(lambda self: self.owned_executions)
    @rule(number=some, way=st.sampled_from(WAYS))
    def end(self, number: int, way: str) -> None:
        """End an execution by a present or former owner: also one that was killed, rescued or has ended."""
        owned = self.owned_executions[-1 - number % len(self.owned_executions)]
        self.settle_both(verdict_on(owned.execution, way), owned.job)

    @precondition(lambda self: self.owned_executions)
    @rule(number=some)
    def checkpoint(self, number: int) -> None:
        owned = self.owned_executions[-1 - number % len(self.owned_executions)]
        one = owned.execution

        def take_effect() -> None:
            Job.objects.filter(pk=one.job_id).update(progress_current=F("progress_current") + 1)

        try:
            save_checkpoint(
                tenant_id=one.tenant_id,
                job_id=one.job_id,
                fence=one.fence,
                state={},
                effects=take_effect,
            )
            is_kept = True
        except FenceLostError:
            is_kept = False
        assert is_kept is self.model.checkpoint(one.execution_id, one.fence, owned.job, owned.job.step)

    @rule(worker=st.integers(0, 1))
    def beat(self, worker: int) -> None:
        """Send a heartbeat with all that the worker ever held."""
        worker_id = self.workers[worker]
        ids = [id_ for hold in self.holds if hold.worker == worker_id for id_ in hold.members]
        answer = heartbeat(worker_id=worker_id, is_stopping=False, execution_ids=ids)
        ours = self.model.heartbeat(worker_id, ids)
        assert {id_: lease.is_cancel_requested for id_, lease in answer.leases.items()} == {
            id_: live.is_cancel_requested for id_, live in ours.items()
        }

    @rule()
    def jump_clock(self) -> None:
        """Make everything that has a time older by a jump."""
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_JUMP, {"by": timedelta(seconds=JUMP_SECONDS)})
        self.model.now += JUMP_SECONDS

    @rule(worker=st.sampled_from([None, 0, 1]))
    def lose_leases(self, worker: int | None) -> None:
        """Let the leases of workers run out, except one that beats."""
        for _ in range(3):
            self.jump_clock()
            if worker is not None:
                self.beat(worker)
        self.sweep()

    def _fetch(self, number: int, *, is_first: bool) -> bool:
        """Return whether there was a message to take from one of the queues."""
        queues = [queue for queue in QUEUES if self.client.exists(queue)]
        if not queues:
            return False
        queue = queues[number % len(queues)]
        raw = self.client.rpop(queue) if is_first else self.client.lpop(queue)
        args, kwargs, _ = json.loads(base64.b64decode(json.loads(raw)["body"]))
        hint = read_hint(tuple(args), kwargs)
        assert hint is not None
        execution_ids, token = hint
        self.hints.append(Hint(tuple(execution_ids), token, POOL))
        return True
