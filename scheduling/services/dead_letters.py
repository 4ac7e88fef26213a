"""Dead letters: what will not run again by itself, put back by a person, as it was or with another payload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from scheduling.conf import MAX_BULK_JOBS
from scheduling.filters import JobFilter
from scheduling.lifecycle import REPLAYABLE_STATES
from scheduling.models import DeadLetter, Job
from scheduling.selectors.dead_letters import find_dead_letters, get_dead_letter
from scheduling.selectors.jobs import COUNT_LIMIT, CappedCount
from scheduling.services.job_requests import JobRequest, check_request
from scheduling.services.payload_patches import patched_payload
from scheduling.services.quotas import RateStanding
from scheduling.services.retries import BulkRetry, refusal_of_replay, retry_jobs
from tenants.clock import read_clock
from tenants.context import require_scope
from tenants.encryption.fields import open_rows
from tenants.exceptions import CursorInvalidError, DomainError
from tenants.ids import uuid7

type Payload = Mapping[str, Any]
# As many as one bulk submission takes.
MAX_REQUEUED = MAX_BULK_JOBS
SAMPLE_LETTERS = 5
WAITING = JobFilter.of(requeued="no")


@dataclass(frozen=True, slots=True)
class RequeueCursor:
    """How far a requeue by filter has come: the last letter, and the greatest id that was there when it began."""

    after: UUID
    newest: UUID

    def __str__(self) -> str:
        return f"{self.after.hex}.{self.newest.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that an answer gave; CursorInvalidError for anything else."""
        after, _, newest = text.partition(".")
        try:
            return cls(UUID(hex=after), UUID(hex=newest))
        except ValueError as error:
            raise CursorInvalidError from error


@dataclass(slots=True)
class RequeueBatch:
    """One batch of a requeue by filter: the new jobs and the refusals by letter, and where the next batch begins.

    ``cursor`` None: nothing is left. ``retry_after_seconds`` says when the tenant's limits let it go on, where they
    ended this batch early.
    """

    requeued: dict[UUID, Job] = field(default_factory=dict)
    refused: dict[UUID, DomainError] = field(default_factory=dict)
    cursor: RequeueCursor | None = None
    retry_after_seconds: int | None = None
    rate: RateStanding | None = None


@dataclass(frozen=True, slots=True)
class SampledLetter:
    """A letter that would be requeued; ``refusal`` says why its payload would not be taken as it would then be."""

    letter: DeadLetter
    refusal: DomainError | None


@dataclass(frozen=True, slots=True)
class RequeuePreview:
    """How many letters a requeue by filter would take, and the first of them."""

    count: CappedCount
    sample: list[SampledLetter]


def requeue_dead_letter(*, dead_letter_id: UUID, reason: str = "", payload: Payload | None = None) -> Job:
    """Run the dead letter's job anew as a new job linked to it, with ``payload`` if it is given; once for each letter.

    Raises DeadLetterNotFoundError, InvalidTransitionError when it was requeued already, and
    whatever submission refuses.
    """
    letter = get_dead_letter(dead_letter_id)
    payloads = {} if payload is None else {letter.job_id: payload}
    bulk = retry_jobs(job_ids=[letter.job_id], reason=reason, payloads=payloads, facts=_facts(len(payloads)))
    if letter.job_id in bulk.refused:
        raise bulk.refused[letter.job_id]
    return bulk.replayed[letter.job_id]


def requeue_dead_letters(
    *, dead_letter_ids: Sequence[UUID], reason: str = "", payload_patch: Payload | None = None
) -> BulkRetry:
    """The same for many, with one audit entry for each tenant; keyed by the old jobs' ids, in the order of the letters.

    ``payload_patch`` is merged into each payload (RFC 7396).
    """
    return _requeue(_jobs_of(dead_letter_ids), reason, payload_patch, {})


def requeue_matching(
    *,
    letter_filter: JobFilter,
    cursor: RequeueCursor | None = None,
    limit: int = MAX_REQUEUED,
    reason: str = "",
    payload_patch: Payload | None = None,
) -> RequeueBatch:
    """Requeue the next ``limit`` letters of the filter that wait, oldest first, in the caller's transaction.

    What dies after the first batch began is not in the set. Where the limits of the one tenant of the scope are
    reached, the batch ends before the first letter that they refuse, so that its cursor comes back to it; if that is
    the first letter of all, its refusal is raised.
    """
    newest = cursor.newest if cursor else uuid7()
    after = cursor.after if cursor else None
    waiting = find_dead_letters(letter_filter & WAITING).filter(id__lte=newest, id__gt=after or UUID(int=0))
    ids = list(waiting.order_by("id").values_list("id", flat=True)[: min(limit, MAX_REQUEUED)])
    jobs = _jobs_of(ids)
    bulk = _requeue(jobs, reason, payload_patch, {"filter": letter_filter.text})
    batch = RequeueBatch(rate=bulk.rate)
    for letter_id in ids:
        refusal = bulk.refused.get(jobs[letter_id])
        if refusal is not None and refusal.category == "limited" and not require_scope().is_all_tenants:
            if not batch.requeued:
                raise refusal
            batch.retry_after_seconds = refusal.retry_after_seconds
            batch.cursor = RequeueCursor(after or UUID(int=0), newest)
            return batch
        after = letter_id
        if refusal is not None:
            batch.refused[letter_id] = refusal
        else:
            batch.requeued[letter_id] = bulk.replayed[jobs[letter_id]]
    if after is not None and len(ids) == min(limit, MAX_REQUEUED):
        batch.cursor = RequeueCursor(after, newest)
    return batch


def preview_requeue(*, letter_filter: JobFilter, payload_patch: Payload | None = None) -> RequeuePreview:
    """What requeueing by this filter would do now; nothing is changed. The sample is of the oldest, who come first."""
    waiting = find_dead_letters(letter_filter & WAITING)
    counted = waiting.order_by().values("id")[: COUNT_LIMIT + 1].count()
    letters = waiting.select_related("job", "tenant__plan").order_by("id")[:SAMPLE_LETTERS]
    now = read_clock()
    return RequeuePreview(
        CappedCount(min(counted, COUNT_LIMIT), counted > COUNT_LIMIT),
        [SampledLetter(letter, _refusal(letter, payload_patch, now)) for letter in letters],
    )


def _refusal(letter: DeadLetter, payload_patch: Payload | None, now: datetime) -> DomainError | None:
    payload: Payload = letter.job.payload
    if (refusal := refusal_of_replay(letter.kind)) is not None:
        return refusal
    try:
        if payload_patch is not None:
            payload = patched_payload(payload, payload_patch)
        request = JobRequest(kind=letter.kind, payload=payload, is_internal=payload_patch is None)
        check_request(request, now=now, plan=letter.tenant.plan)
    except DomainError as refusal:
        return refusal
    return None


def _jobs_of(dead_letter_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The jobs by their letters, in the order of the letters."""
    rows = dict(DeadLetter.objects.filter(pk__in=dead_letter_ids).values_list("pk", "job_id"))
    return {letter_id: rows[letter_id] for letter_id in dead_letter_ids if letter_id in rows}


def _requeue(
    jobs: Mapping[UUID, UUID], reason: str, payload_patch: Payload | None, facts: Mapping[str, Any]
) -> BulkRetry:
    if not jobs:
        return BulkRetry()
    payloads: dict[UUID, Payload] = {}
    if payload_patch is not None:
        rows = Job.objects.filter(pk__in=jobs.values(), state__in=REPLAYABLE_STATES).values_list(
            "pk", "tenant_id", "payload"
        )
        payloads = {
            job_id: patched_payload(payload, payload_patch) for job_id, payload in open_rows(Job, "payload", rows)
        }
    return retry_jobs(
        job_ids=list(jobs.values()), reason=reason, payloads=payloads, facts={**facts, **_facts(len(payloads))}
    )


def _facts(edited: int) -> dict[str, Any]:
    return {"payloads_edited": edited} if edited else {}
