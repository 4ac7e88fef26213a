"""Submission of jobs: a request is checked, routed and stored as a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from scheduling import signals, tracing
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import IdempotencyInFlightError, IdempotencyMismatchError
from scheduling.jobs.fair_share_nodes import Line, node_ids
from scheduling.jobs.job_keys.models import UniqueUntil
from scheduling.jobs.job_keys.service import KindAndKey, claim_keys, find_holders, lock_idempotency_keys, read_visible
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest, check_request, rank_of, retry_policy_on
from scheduling.jobs.routing.resources import refuse_too_large
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.storing import store_jobs
from scheduling.jobs.subjects import Subjects
from scheduling.kit import registry
from scheduling.limits.admission import RateStatus, SubmissionAllowance, TokenGrant, refuse_draining_tenant
from scheduling.load.queries import LoadView, current_load
from scheduling.load.shedding import shed
from scheduling.models import Batch, Job, Queue
from scheduling.tenant_settings import DEFAULT_PRIORITY
from tenants.access.roles import require_within
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.database.rows import new_row
from tenants.encryption.fields import digest_of
from tenants.exceptions import DomainError, TenantSuspendedError
from tenants.models import Tenant, TenantStatus
from tenants.settings.schema import tenant_setting


@dataclass(frozen=True, slots=True)
class Submission:
    """The result of one submission; ``created`` is False if an idempotency key or unique key found an existing job."""

    job: Job
    created: bool
    rate: RateStatus | None = None


@dataclass(frozen=True, slots=True)
class BulkSubmission:
    """The results of many submissions: the index of each request with its job, or with its error."""

    accepted: Sequence[tuple[int, Submission]]
    rejected: Sequence[tuple[int, DomainError]]
    rate: RateStatus | None = None


def submit_job(
    *,
    tenant: Tenant,
    request: JobRequest,
    batch: Batch | None = None,
    parent: Job | None = None,
    is_rate_limited: bool = False,
    has_savepoint: bool = True,
) -> Submission:
    """Submit one job, and return it; raise the DomainError that refuses it.

    If ``has_savepoint`` is False, a refusal rolls the caller's transaction back.
    """
    bulk = submit_jobs(
        tenant=tenant,
        requests=[request],
        batch=batch,
        parents=[parent] if parent else None,
        is_rate_limited=is_rate_limited,
        is_atomic=True,
        has_savepoint=has_savepoint,
    )
    return replace(bulk.accepted[0][1], rate=bulk.rate)


def submit_jobs(
    *,
    tenant: Tenant,
    requests: Sequence[JobRequest],
    batch: Batch | None = None,
    parents: Sequence[Job] | None = None,
    is_rate_limited: bool = False,
    is_atomic: bool = False,
    has_savepoint: bool = True,
) -> BulkSubmission:
    """Submit jobs in one transaction; return the accepted ones and the refusals by index.

    ``parents`` has the parent job of each request. ``is_rate_limited``: a tenant submits, so each new job costs a token
    of its rate; jobs of the platform and its operators cost none. ``is_atomic``: raise the first refusal and accept
    nothing.
    """
    with (
        tracing.span("job.submit", jobs=len(requests), tenant=tenant.slug),
        tenant_context(tenant, has_savepoint=has_savepoint),
    ):
        if tenant.status == TenantStatus.SUSPENDED:
            raise TenantSuspendedError
        intake = _Intake.open(tenant, batch, len(requests), may_be_shed=is_rate_limited)
        intake.recognise_repeats(requests)
        if any(request.subject or registry.subject_finder(request.kind) for request in requests):
            intake.subjects = Subjects.read(requests)
        for index, request in enumerate(requests):
            intake.admit(index, request, parents[index] if parents else None)
        tokens = intake.take_tokens() if is_rate_limited else None
        try:
            if is_atomic:
                intake.check_whole()
            intake.store()
        except BaseException:
            if tokens is not None:
                tokens.give_back()
            raise
    return BulkSubmission(intake.accepted, intake.rejected, tokens.standing if tokens else None)


@dataclass(slots=True)
class _Intake:
    """One submission in progress: validate → recognise → route → admit → take tokens → store."""

    tenant: Tenant
    batch: Batch | None
    now: datetime
    allowance: SubmissionAllowance
    routes: Routes
    queue_names: dict[int, str] = field(default_factory=dict)
    # What the first event of a job says about the choice of its queue.
    routing_facts: dict[UUID, Mapping[str, str]] = field(default_factory=dict)
    subjects: Subjects | None = None
    known: dict[str, Job] = field(default_factory=dict)
    busy_keys: set[str] = field(default_factory=set)
    holders: dict[KindAndKey, Job] = field(default_factory=dict)
    new: list[Job] = field(default_factory=list)
    accepted: list[tuple[int, Submission]] = field(default_factory=list)
    rejected: list[tuple[int, DomainError]] = field(default_factory=list)
    default_priority: int | None = None
    load: LoadView | None = None  # None for jobs of the platform, which are never shed

    @classmethod
    def open(cls, tenant: Tenant, batch: Batch | None, wanted: int, *, may_be_shed: bool) -> _Intake:
        allowance = SubmissionAllowance.read(tenant.pk, wanted=wanted)
        routes, load = Routes.of_tenant(tenant), current_load() if may_be_shed else None
        return cls(tenant, batch, allowance.standing.now, allowance, routes, load=load)

    def recognise_repeats(self, requests: Sequence[JobRequest]) -> None:
        """Find the jobs of repeated idempotency keys and of unique keys that are taken."""
        keys = {request.idempotency_key for request in requests if request.idempotency_key}
        if keys:
            self.known, self.busy_keys = lock_idempotency_keys(self.tenant.pk, keys)
        # Keys that cannot be stored are refused later.
        unique = {(one.kind, one.claimed_key) for one in requests if one.claimed_key and one.claimed_key.isprintable()}
        found = find_holders(self.tenant.pk, unique) if unique else {}
        jobs = read_visible(found.values()) if found else {}
        self.holders = {place: jobs[job_id] for place, job_id in found.items() if job_id in jobs}

    def admit(self, index: int, request: JobRequest, parent: Job | None) -> None:
        """Accept or refuse one request, and record the result under its index."""
        try:
            submission = self._decide(request, parent)
        except DomainError as error:
            self.rejected.append((index, error))
        else:
            self.accepted.append((index, submission))

    def _decide(self, request: JobRequest, parent: Job | None) -> Submission:
        key = request.idempotency_key
        if key is not None:
            if key in self.busy_keys:
                raise IdempotencyInFlightError(retry_after_seconds=1)
            if (known := self.known.get(key)) is not None:
                if not self._is_same(known, request):
                    raise IdempotencyMismatchError
                return Submission(known, created=False)
        processor = check_request(request, now=self.now, plan=self.tenant.plan)
        if (holder := self.holders.get((request.kind, request.claimed_key))) is not None:
            return Submission(holder, created=False)
        asked, about = (request.kind, request.payload, request.queue, request.tags), self.subjects
        queue, facts = about.route(self.routes, request) if about else self.routes.route(*asked)
        require_within(kinds=request.kind, queues=queue.name)
        refuse_too_large(request.kind, queue)
        refuse_draining_tenant(self.tenant, self.now)
        self.allowance.standing.drains.refuse(request.kind, queue.name)
        # A refused child would fail the work of its parent, and a refused delivery would keep the messages.
        self.allowance.check_new(len(self.new), may_emit=parent is None and not request.is_internal)
        self.queue_names[queue.pk] = queue.name
        if (max_retries := request.max_retries) is None:
            max_retries = retry_policy_on(self.tenant.plan, processor).max_retries
        job = self._new_job(request, queue, max_retries, parent)
        job.subject = about.of(request) if about else None
        shed(job, self.load, tier=self.routes.tier_id, now=self.now)
        self.new.append(job)
        if facts:
            self.routing_facts[job.pk] = facts
        if key is not None:
            self.known[key] = job
        if request.claimed_key:
            self.holders[request.kind, request.claimed_key] = job
        return Submission(job, created=True)

    def _is_same(self, known: Job, request: JobRequest) -> bool:
        """Return True if the job has the request's hash, in plain until `encrypt_stored_values` has reached it."""
        asked, stored = request.fingerprint(), bytes(known.payload_hash)
        return stored == asked or stored == digest_of(self.tenant.pk, asked)

    def _new_job(self, request: JobRequest, queue: Queue, max_retries: int, parent: Job | None) -> Job:
        run_at = max(request.run_at or self.now, self.now)
        priority = self._default_priority() if request.priority is None else request.priority
        return new_row(
            Job,
            id=uuid7(),
            tenant=self.tenant,
            kind=request.kind,
            queue=queue,
            state=JobState.SCHEDULED if run_at > self.now else JobState.AVAILABLE,
            priority=priority,
            rank=rank_of(run_at, priority),
            fair_key=request.fair_key,
            concurrency_key=request.concurrency_key or None,
            unique_key=request.claimed_key or None,
            unique_until=(request.unique_until or UniqueUntil.ENDED.value) if request.claimed_key else None,
            tags=list(request.tags),
            meta=dict(request.meta),
            payload=dict(request.payload),
            payload_bytes=request.payload_bytes,
            payload_hash=digest_of(self.tenant.pk, request.fingerprint()),
            idempotency_key=request.idempotency_key,
            max_retries=max_retries,
            run_at=run_at,
            deadline_at=request.deadline,
            traceparent=tracing.current_traceparent() or (parent and parent.traceparent),
            created_at=self.now,
            parent=parent,
            batch=self.batch,
        )

    def take_tokens(self) -> TokenGrant:
        """Accept only as many new jobs as the tenant's rate grants, the first ones, and refuse the rest."""
        tokens = self.allowance.take_tokens(len(self.new))
        late = {job.pk: nth for nth, job in enumerate(self.new[tokens.granted :], start=1)}
        refused = [(index, tokens.refusal(late[done.job.pk])) for index, done in self.accepted if done.job.pk in late]
        self.accepted = [entry for entry in self.accepted if entry[1].job.pk not in late]
        self.rejected = sorted([*self.rejected, *refused], key=lambda entry: entry[0])
        self.new = self.new[: tokens.granted]
        return tokens

    def check_whole(self) -> None:
        """Raise the first refusal, if there is one."""
        if self.rejected:
            raise self.rejected[0][1]

    def _default_priority(self) -> int:
        """Return the tenant's default priority, within what its plan allows now; read once."""
        if self.default_priority is None:
            most = self.tenant.plan.max_priority
            self.default_priority = max(-most, min(most, int(tenant_setting(self.tenant, DEFAULT_PRIORITY.key))))
        return self.default_priority

    def store(self) -> None:
        """Store the new jobs; once this transaction is committed, wake the dispatcher and send a signal."""
        self._claim_unique_keys()
        if not self.new:
            return
        self.allowance.note_accepted(len(self.new))
        store_jobs(self.new, lines=self._lines(), event="job.submitted", facts=self.routing_facts)
        wake_on_commit({self.queue_names[job.queue_id] for job in self.new}, is_filled=True)
        counts = Counter((job.kind, self.queue_names[job.queue_id]) for job in self.new)
        tenant_id, tier = self.tenant.pk, self.tenant.plan.tier_id
        transaction.on_commit(lambda: _signal_submitted(tenant_id, tier, counts))

    def _claim_unique_keys(self) -> None:
        """Claim the unique keys of the new jobs; a job whose key another submission has just got is not stored."""
        wanted = {(job.kind, job.unique_key): job for job in self.new if job.unique_key is not None}
        holders = claim_keys(self.tenant.pk, {place: job.pk for place, job in wanted.items()}) if wanted else {}
        if not holders:
            return
        found = read_visible(holders.values())
        existing = {wanted[place].pk: found[job_id] for place, job_id in holders.items()}
        self.new = [job for job in self.new if job.pk not in existing]
        self.accepted = [
            (index, Submission(existing[done.job.pk], created=False) if done.job.pk in existing else done)
            for index, done in self.accepted
        ]

    def _lines(self) -> Mapping[Line, int]:
        """Return the entities of the new jobs' lines; the tenant's own ones are already known."""
        wanted = {(job.queue_id, job.fair_key) for job in self.new}
        known = {(queue_id, ""): entity_id for queue_id, entity_id in self.allowance.standing.lines.items()}
        return known if wanted <= known.keys() else node_ids(self.tenant, wanted)


def _signal_submitted(tenant_id: UUID, tier: str, counts: Counter[tuple[str, str]]) -> None:
    for (kind, queue), count in counts.items():
        signals.jobs_submitted.send(None, tenant_id=tenant_id, kind=kind, queue=queue, tier=tier, count=count)
