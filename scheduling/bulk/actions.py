"""Actions of bulk operations on one chunk of jobs; each uses the service that also changes single jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from django.db.models import Q

from scheduling.bulk.effect import BacklogChange
from scheduling.bulk.moves import move_jobs
from scheduling.bulk.priorities import set_priorities
from scheduling.bulk.queries import UNCHANGED
from scheduling.dispatch.broker import wake_on_commit
from scheduling.execution.settlement_builders import Failure
from scheduling.jobs.cancellation import cancel_here
from scheduling.jobs.lifecycle import TERMINAL_STATES, WAITING_STATES, JobState
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.waiting_jobs import end_waiting, retry_missed
from scheduling.models import DeadLetter, Job, Queue
from scheduling.regions.queries import residency_of
from tenants.access.permissions import Permission
from tenants.context import current_actor
from tenants.encryption.fields import open_readable_rows
from tenants.exceptions import DomainError

PRIORITY_NOT_ALLOWED, QUEUE_NOT_ALLOWED = "priority_not_allowed", "queue_not_allowed"
_STOPPABLE = WAITING_STATES | {JobState.SUSPENDED}


@dataclass(slots=True)
class ActionResult:
    """Result of an action on one chunk of jobs: the ids that it changed, and counts of refused jobs by reason.

    ``formers`` are the former priorities or queue ids of changed jobs, for an undo. ``put_off`` are the last jobs of
    the chunk, which a limit of their tenant delays by ``retry_after_seconds``; they are processed again later, though
    some of them may be changed already.
    """

    changed: set[UUID] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    formers: dict[UUID, int] = field(default_factory=dict)
    put_off: Sequence[UUID] = ()
    retry_after_seconds: int | None = None


class BulkAction(Protocol):
    """Action of a bulk operation with its parameters; it applies only to jobs whose state is in ``states``."""

    @property
    def states(self) -> frozenset[JobState]: ...

    @property
    def permission(self) -> Permission: ...

    @property
    def shift(self) -> BacklogChange:
        """Return which states' work the action removes from the waiting jobs or adds to them, for the estimate."""
        ...

    def unchanged(self) -> Q | None:
        """Return a Q for the jobs that already have the wanted value, or None if the action has no such value."""
        ...

    def refusal_of(self, job: Job) -> DomainError | None:
        """Return the error that the action would raise for this job, judged by the job's row alone, or None."""
        ...

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> ActionResult:
        """Apply the action to these jobs of the current tenant context, in the caller's transaction.

        The caller writes the audit entry.
        """
        ...

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> ActionResult:
        """Restore the former values of these jobs, to undo the action; skip jobs that have changed since."""
        ...


class UnconditionalAction:
    """Base of actions that do not look at a job's row before they change it."""

    def refusal_of(self, job: Job) -> DomainError | None:
        return None


class IrreversibleAction(UnconditionalAction):
    """Base of actions that cannot be undone."""

    def unchanged(self) -> Q | None:
        return None

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> ActionResult:
        raise TypeError(f"{type(self).__name__} cannot be undone.")


class CancelJobs(IrreversibleAction):
    """Cancel jobs: waiting jobs end at once, running ones at their next checkpoint."""

    states = frozenset(JobState) - TERMINAL_STATES
    permission = Permission.JOBS_CANCEL
    shift = BacklogChange(takes=WAITING_STATES)

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> ActionResult:
        return ActionResult(cancel_here(job_ids, reason=reason))


class DiscardJobs(IrreversibleAction):
    """Discard waiting and suspended jobs: they end and become dead letters, which can be requeued."""

    states = _STOPPABLE
    permission = Permission.JOBS_CANCEL
    shift = BacklogChange(takes=WAITING_STATES)

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> ActionResult:
        failure = Failure("discarded", "The job was discarded by a bulk operation.", "")
        discarded = retry_missed(
            lambda ids: end_waiting(
                ids,
                state=JobState.DISCARDED,
                event="job.discarded",
                data={"reason": reason},
                error_type=failure.type,
                error_message=failure.message,
                error_fingerprint=failure.fingerprint,
                dead_letter_reason=DeadLetter.Reason.DISCARDED,
            ),
            job_ids,
            states=self.states,
        )
        wake_on_commit()
        return ActionResult(discarded)


@dataclass(frozen=True, slots=True)
class ReprioritiseJobs(UnconditionalAction):
    """Change the priority of waiting and suspended jobs, and so their order among the tenant's jobs."""

    priority: int
    states = _STOPPABLE
    permission = Permission.JOBS_BULK
    shift = BacklogChange()

    def unchanged(self) -> Q | None:
        return Q(priority=self.priority)

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> ActionResult:
        rows = Job.objects.filter(pk__in=job_ids).values_list("pk", "priority", "tenant__plan__max_priority")
        refused: Counter[str] = Counter()
        wanted: dict[UUID, int] = {}
        for job_id, priority, most in rows:
            if priority == self.priority:
                refused[UNCHANGED] += 1
            elif abs(self.priority) > most:
                refused[PRIORITY_NOT_ALLOWED] += 1
            else:
                wanted[job_id] = self.priority
        formers = _persistently(wanted, lambda left: set_priorities(left, reason=reason), self.states)
        return ActionResult(set(formers), refused, formers)

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> ActionResult:
        still = Job.objects.filter(pk__in=formers, priority=self.priority).values_list("pk", flat=True)
        wanted = {job_id: formers[job_id] for job_id in still}
        return ActionResult(set(_persistently(wanted, lambda left: set_priorities(left, reason=reason), self.states)))


@dataclass(frozen=True, slots=True)
class MoveJobs(UnconditionalAction):
    """Move waiting and suspended jobs to another queue.

    A tenant's users and keys can move a job only to queues that routing allows for it.
    """

    queue: Queue
    states = _STOPPABLE
    permission = Permission.JOBS_BULK

    @property
    def shift(self) -> BacklogChange:
        return BacklogChange(takes=WAITING_STATES, brings=WAITING_STATES, queue_id=self.queue.pk)

    def unchanged(self) -> Q | None:
        return Q(queue_id=self.queue.pk)

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> ActionResult:
        found = list(Job.objects.filter(pk__in=job_ids).exclude(queue=self.queue).values_list("pk", flat=True))
        refused = Counter({UNCHANGED: len(job_ids) - len(found)})
        allowed = self._allowed(found) if current_actor().is_of_tenant else set(found)
        refused[QUEUE_NOT_ALLOWED] = len(found) - len(allowed)
        wanted = dict.fromkeys(allowed, self.queue.pk)
        formers = _persistently(wanted, lambda left: move_jobs(left, reason=reason), self.states)
        return ActionResult(set(formers), +refused, formers)

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> ActionResult:
        still = Job.objects.filter(pk__in=formers, queue=self.queue).values_list("pk", flat=True)
        queues = set(Queue.objects.filter(pk__in=set(formers.values())).values_list("pk", flat=True))
        wanted = {job_id: formers[job_id] for job_id in still if formers[job_id] in queues}
        return ActionResult(set(_persistently(wanted, lambda left: move_jobs(left, reason=reason), self.states)))

    def _allowed(self, job_ids: Sequence[UUID]) -> set[UUID]:
        """Return the ids of the jobs that their tenants could have submitted to this queue."""
        jobs = Job.objects.filter(pk__in=job_ids)
        routes = Routes.load_all()
        about = {
            job.pk: (job.kind, routes[job.tenant.plan.tier_id].within(residency_of(job.tenant)))
            for job in jobs.select_related("tenant__plan").only("kind", "tenant")
            if job.tenant.plan.tier_id in routes
        }
        # A job with an unreadable payload stays in its queue.
        return {
            job_id
            for job_id, payload in open_readable_rows(Job, "payload", jobs.values_list("pk", "tenant_id", "payload"))
            if job_id in about
            for kind, of_tenant in [about[job_id]]
            if self.queue.name in of_tenant.choices(kind, payload)
        }


def _persistently(
    wanted: Mapping[UUID, int], change: Callable[[Mapping[UUID, int]], dict[UUID, int]], states: frozenset[JobState]
) -> dict[UUID, int]:
    """Change jobs, with further attempts for those that another transaction had locked. Return their former values."""
    formers: dict[UUID, int] = {}

    def step(left: Sequence[UUID]) -> set[UUID]:
        found = change({job_id: wanted[job_id] for job_id in left})
        formers.update(found)
        return set(found)

    retry_missed(step, list(wanted), states=states)
    return formers
