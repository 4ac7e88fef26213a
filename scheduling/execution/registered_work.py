"""What a running job has registered for the transactions that store its checkpoints and its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from uuid import UUID

from scheduling.execution.settlement import Settlement
from scheduling.execution.settlement_builders import Outcome
from scheduling.execution.start import StartedExecution
from scheduling.jobs.batches.service import submit_children
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest, check_request
from scheduling.kit.base import MAX_CHILDREN, Child, Effects, PermanentError
from scheduling.models import Job
from scheduling.outbox.buffer import OutboxBuffer
from tenants.database.clock import read_clock
from tenants.exceptions import DomainError


def check_child(job_id: UUID, child: Child) -> None:
    """Raise PermanentError, with the code of the refusal, if the kind, payload or options of a child are refused."""
    plan = Job.objects.select_related("tenant__plan").only("tenant__plan").get(pk=job_id).tenant.plan
    try:
        check_request(JobRequest(**asdict(child)), now=read_clock(), plan=plan)
    except DomainError as refusal:
        details = [f"{fault['field']}: {fault['detail']}" for fault in refusal.errors]
        raise PermanentError(" ".join([str(refusal.detail), *details]), code=refusal.code) from refusal


class RegisteredWork:
    """Effects, children and messages of one execution."""

    def __init__(self, started: StartedExecution) -> None:
        self._job_id = started.job_id
        self.effects: list[Effects] = []
        self.children: list[JobRequest] = []
        self.messages = OutboxBuffer(started.job_id, started.tenant_id)

    def submit_child(self, child: Child) -> None:
        """Register a child; raise PermanentError beyond MAX_CHILDREN."""
        if len(self.children) >= MAX_CHILDREN:
            raise PermanentError(
                f"One execution may submit at most {MAX_CHILDREN:,} children.", code="too_many_children"
            )
        self.children.append(JobRequest(**asdict(child)))

    def with_messages(self, effects: Effects | None) -> Effects | None:
        """Return the effects of a checkpoint, which store the messages too; None if there is nothing to do."""
        return self.messages.storing([effects] if effects else []) if effects or self.messages else None

    def effects_of(self, settlement: Settlement) -> Callable[[], None] | None:
        """Return what to do in the transaction of the settlement as one function; None if there is nothing to do."""
        is_completed = settlement.outcome == Outcome.COMPLETED
        goes_on = settlement.outcome in {Outcome.YIELDED, Outcome.PUT_OFF}
        waits = settlement.outcome == Outcome.YIELDED and settlement.state == JobState.SUSPENDED
        kept = list(self.effects) if is_completed else []
        if waits or (self.children and (is_completed or goes_on)):
            kept.append(lambda: submit_children(job_id=self._job_id, requests=self.children, waits=waits))
        if not (is_completed or goes_on):
            self.messages.clear()
        return self.messages.storing(kept) if kept or self.messages else None
