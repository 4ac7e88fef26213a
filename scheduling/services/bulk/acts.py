"""What a bulk operation does to the jobs of one turn: six acts, each by the service that one job has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.db.models import Q

from scheduling.exceptions import PriorityNotAllowedError, QueueNotFoundError
from scheduling.lifecycle import DEAD_STATES, REPLAYABLE_STATES, TERMINAL_STATES, WAITING_STATES, JobState
from scheduling.models import BulkOperation, DeadLetter, Job, Queue
from scheduling.selectors.bulk import UNCHANGED
from scheduling.services.bulk.priorities import set_priorities
from scheduling.services.bulk.queue_moves import move_jobs
from scheduling.services.cancellation import cancel_here
from scheduling.services.retries import BulkRetry, retry_jobs
from scheduling.services.routing import Routes
from scheduling.services.verdicts import Failure
from scheduling.services.waiting import look_again, take_out
from scheduling.services.wakes import wake_on_commit
from tenants.context import current_actor
from tenants.encryption.fields import open_readable_rows
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.permissions import Permission
from tenants.services.audit import part_of_act
from tenants.texts import said

PRIORITY_NOT_ALLOWED, QUEUE_NOT_ALLOWED = "priority_not_allowed", "queue_not_allowed"
# What a smallint holds; the plan allows less.
MAX_PRIORITY = 32_767
_STOPPABLE = WAITING_STATES | {JobState.SUSPENDED}
_Operation = BulkOperation.Operation


@dataclass(slots=True)
class Done:
    """What became of the jobs of a turn.

    ``formers`` are what changed ones had before, where that can be given back. ``put_off`` are the last of them, which
    a limit of their tenant keeps back for ``retry_after_seconds``.
    """

    changed: set[UUID] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    formers: dict[UUID, int] = field(default_factory=dict)
    put_off: Sequence[UUID] = ()
    retry_after_seconds: int | None = None


class Act(Protocol):
    """One of the operations with its parameters; jobs in other ``states`` are passed by."""

    @property
    def states(self) -> frozenset[JobState]: ...

    @property
    def permission(self) -> Permission: ...

    def unchanged(self) -> Q | None:
        """Jobs that are already as they are to be."""
        ...

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> Done:
        """Do it to these jobs of the scope, in the caller's transaction; the audit entry is the caller's."""
        ...

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> Done:
        """Give jobs back what they had before, but for those that have changed again since."""
        ...


class _Final:
    """What cannot be taken back."""

    def unchanged(self) -> Q | None:
        return None

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> Done:
        raise TypeError(f"{type(self).__name__} is not undone.")


class Cancel(_Final):
    """At once where a job waits, at its next safe point where it runs."""

    states = frozenset(JobState) - TERMINAL_STATES
    permission = Permission.JOBS_CANCEL

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> Done:
        return Done(cancel_here(job_ids, reason=reason))


class Retry(_Final):
    """End the back-off of those that wait for it; those that have ended without success run as new jobs."""

    states = REPLAYABLE_STATES | {JobState.RETRYABLE}
    permission = Permission.JOBS_RETRY

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> Done:
        with part_of_act():
            bulk = retry_jobs(job_ids=job_ids, reason=reason)
        put_off, wait = _kept_back(job_ids, bulk)
        kept_back = set(put_off)
        refused = Counter(error.code for job_id, error in bulk.refused.items() if job_id not in kept_back)
        return Done(bulk.hastened | set(bulk.replayed), refused, put_off=put_off, retry_after_seconds=wait)


class Requeue(Retry):
    """Run dead letters anew, each once."""

    states = DEAD_STATES


class Discard(_Final):
    """Give up jobs that wait: they stand among the dead letters, from where they can be requeued."""

    states = _STOPPABLE
    permission = Permission.JOBS_CANCEL

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> Done:
        failure = Failure("discarded", "Somebody has discarded the job.", "")
        discarded = look_again(
            lambda ids: take_out(
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
        return Done(discarded)


@dataclass(frozen=True, slots=True)
class Reprioritise:
    """Another priority, and with it another place among the tenant's own jobs."""

    priority: int
    states = _STOPPABLE
    permission = Permission.JOBS_BULK

    def unchanged(self) -> Q | None:
        return Q(priority=self.priority)

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> Done:
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
        return Done(set(formers), refused, formers)

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> Done:
        still = Job.objects.filter(pk__in=formers, priority=self.priority).values_list("pk", flat=True)
        wanted = {job_id: formers[job_id] for job_id in still}
        return Done(set(_persistently(wanted, lambda left: set_priorities(left, reason=reason), self.states)))


@dataclass(frozen=True, slots=True)
class MoveQueue:
    """Another queue; a tenant's own people and keys move their jobs only to where routing lets them name it."""

    queue: Queue
    states = _STOPPABLE
    permission = Permission.JOBS_BULK

    def unchanged(self) -> Q | None:
        return Q(queue_id=self.queue.pk)

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> Done:
        found = list(Job.objects.filter(pk__in=job_ids).exclude(queue=self.queue).values_list("pk", flat=True))
        refused = Counter({UNCHANGED: len(job_ids) - len(found)})
        allowed = self._allowed(found) if current_actor().is_of_tenant else set(found)
        refused[QUEUE_NOT_ALLOWED] = len(found) - len(allowed)
        wanted = dict.fromkeys(allowed, self.queue.pk)
        formers = _persistently(wanted, lambda left: move_jobs(left, reason=reason), self.states)
        return Done(set(formers), +refused, formers)

    def give_back(self, formers: Mapping[UUID, int], *, reason: str) -> Done:
        still = Job.objects.filter(pk__in=formers, queue=self.queue).values_list("pk", flat=True)
        queues = set(Queue.objects.filter(pk__in=set(formers.values())).values_list("pk", flat=True))
        wanted = {job_id: formers[job_id] for job_id in still if formers[job_id] in queues}
        return Done(set(_persistently(wanted, lambda left: move_jobs(left, reason=reason), self.states)))

    def _allowed(self, job_ids: Sequence[UUID]) -> set[UUID]:
        """Those that their tenant might have sent there itself."""
        jobs = Job.objects.filter(pk__in=job_ids)
        about = {job_id: rest for job_id, *rest in jobs.values_list("pk", "kind", "tenant__plan__tier_id")}
        routes = Routes.load_all()
        # A job whose payload cannot be opened here stays where it is.
        return {
            job_id
            for job_id, payload in open_readable_rows(Job, "payload", jobs.values_list("pk", "tenant_id", "payload"))
            for kind, tier_id in [about[job_id]]
            if tier_id in routes and self.queue.name in routes[tier_id].choices(kind, payload)
        }


def read_act(operation: str, parameters: Mapping[str, Any]) -> Act:
    """The act of an operation. Raises FieldInvalidError, QueueNotFoundError and PriorityNotAllowedError."""
    if operation == _Operation.REPRIORITISE:
        _expect(parameters, "priority")
        return Reprioritise(_read_priority(parameters["priority"]))
    if operation == _Operation.MOVE_QUEUE:
        _expect(parameters, "queue")
        queue = Queue.objects.filter(name=parameters["queue"]).first()
        if queue is None:
            raise QueueNotFoundError("There is no queue %(queue)s.", {"queue": parameters["queue"]})
        return MoveQueue(queue)
    _expect(parameters)
    plain: dict[str, type[Act]] = {
        _Operation.CANCEL: Cancel,
        _Operation.RETRY: Retry,
        _Operation.REQUEUE: Requeue,
        _Operation.DISCARD: Discard,
    }
    if operation not in plain:
        raise _invalid("operation", said("It must be one of: %(known)s.", {"known": ", ".join(_Operation.values)}))
    return plain[operation]()


def permission_of(operation: str) -> Permission:
    """The right that an operation needs besides `jobs.bulk`."""
    if operation in (_Operation.RETRY, _Operation.REQUEUE):
        return Permission.JOBS_RETRY
    return Permission.JOBS_CANCEL if operation in (_Operation.CANCEL, _Operation.DISCARD) else Permission.JOBS_BULK


def _read_priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _invalid("priority", said("It must be a whole number."))
    if not -MAX_PRIORITY <= value <= MAX_PRIORITY:
        raise PriorityNotAllowedError
    return value


def _expect(parameters: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in parameters:
            raise _invalid(name, said("This operation needs it."))
    for name in parameters:
        if name not in names:
            raise _invalid(name, said("It does not belong to this operation."))


def _invalid(name: str, detail: str) -> DomainError:
    fault = {"field": name, "code": "field_invalid", "detail": detail}
    return FieldInvalidError(f"{name}: {detail}", errors=[fault])


def _persistently(
    wanted: Mapping[UUID, int], change: Callable[[Mapping[UUID, int]], dict[UUID, int]], states: frozenset[JobState]
) -> dict[UUID, int]:
    """Change jobs, and look again at those that changed hands meanwhile; what they had before."""
    formers: dict[UUID, int] = {}

    def step(left: Sequence[UUID]) -> set[UUID]:
        found = change({job_id: wanted[job_id] for job_id in left})
        formers.update(found)
        return set(found)

    look_again(step, list(wanted), states=states)
    return formers


def _kept_back(job_ids: Sequence[UUID], bulk: BulkRetry) -> tuple[Sequence[UUID], int | None]:
    """The last jobs of all, if it was a limit that refused them: they come again when it lets them."""
    if not current_actor().is_of_tenant:
        return (), None
    first = len(job_ids)
    while first and _is_limited(bulk.refused.get(job_ids[first - 1])):
        first -= 1
    put_off = job_ids[first:]
    return put_off, (bulk.refused[put_off[0]].retry_after_seconds or 1) if put_off else None


def _is_limited(refusal: DomainError | None) -> bool:
    return refusal is not None and refusal.category == "limited"
