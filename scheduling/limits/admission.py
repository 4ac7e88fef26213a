"""Admission of a tenant's new jobs: checks drains, the number of waiting jobs, worker time and submission rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Self
from uuid import UUID

from scheduling.conf import MAX_BULK_JOBS
from scheduling.dispatch.leadership import try_to_lead
from scheduling.exceptions import BulkTooLargeError, DrainingError, QuotaExceededError, RateLimitedError
from scheduling.fairness.gcra import Grant, Rate
from scheduling.limits import rate_buckets
from scheduling.limits.declared import (
    JOBS_PER_BULK,
    MAX_WAITING_JOBS,
    OUTBOX_PENDING,
    SUBMIT_BURST,
    SUBMITS_PER_MINUTE,
    WORKER_SECONDS,
)
from scheduling.models import Drain
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from tenants.limits.declared import NO_PERIOD, LimitReached, month_end
from tenants.limits.service import expire_tenant_limits, release_ended_periods
from tenants.limits.usage import CachedLimits, EffectiveLimit, allowed_for, note_level
from tenants.models import Tenant

_READ_STANDING = load_sql(__file__)["read_standing"]

# Seconds after which a refused client may retry if the drain has no end.
DRAIN_RETRY_AFTER_SECONDS = 60
# Seconds after which a refused client may retry; waiting jobs drain at the tenant's own pace.
QUOTA_RETRY_AFTER_SECONDS = 10
# For a plan that accepts no jobs at all, until someone changes it.
NEVER_RETRY_AFTER_SECONDS = 3_600
# Within this distance of the limit a tenant's submissions are serialized, so that each counts the others. Beyond it
# they run concurrently: the limit is exact unless more than sixteen full bulks of one tenant are stored at once.
NEAR_JOBS = 16 * MAX_BULK_JOBS
# Plans have few rates.
_rate = lru_cache(maxsize=1_000)(Rate.per_minute)
_OF_SUBMISSION = CachedLimits(
    "limits", (SUBMITS_PER_MINUTE, SUBMIT_BURST, MAX_WAITING_JOBS, WORKER_SECONDS, OUTBOX_PENDING)
)


@dataclass(frozen=True, slots=True)
class Drains:
    """Queues and kinds that are draining now."""

    now: datetime
    by_target: Mapping[tuple[str, str], Drain] = field(default_factory=dict)

    @classmethod
    def of(cls, now: datetime, rows: Iterable[tuple[str, str, str, str | None]]) -> Self:
        """Return the drains from rows of (scope, name, reason, until)."""
        return cls(
            now,
            {
                (scope, name): Drain(
                    scope=scope, name=name, reason=reason, until=until and datetime.fromisoformat(until)
                )
                for scope, name, reason, until in rows
            },
        )

    def refuse(self, kind: str, queue_name: str) -> None:
        """Raise DrainingError if the kind or the queue of a new job is draining."""
        for scope, name in ((Drain.Scope.KIND, kind), (Drain.Scope.QUEUE, queue_name)):
            drain = self.by_target.get((scope, name))
            if drain is not None:
                values, left = {"name": name, "reason": drain.reason}, seconds_left(drain.until, self.now)
                if scope == Drain.Scope.KIND:
                    raise DrainingError("The kind %(name)s is draining. %(reason)s", values, retry_after_seconds=left)
                raise DrainingError("The queue %(name)s is draining. %(reason)s", values, retry_after_seconds=left)


def refuse_draining_tenant(tenant: Tenant, now: datetime) -> None:
    """Raise DrainingError if the tenant is draining."""
    if tenant.is_draining:
        raise DrainingError(
            "The tenant is draining. %(reason)s",
            {"reason": tenant.drain_reason},
            retry_after_seconds=seconds_left(tenant.draining_until, now),
        )


def seconds_left(until: datetime | None, now: datetime) -> int:
    """Return the seconds after which a refused client should retry: at the drain's end, else a fixed time."""
    return DRAIN_RETRY_AFTER_SECONDS if until is None else max(1, int((until - now).total_seconds()) + 1)


@dataclass(frozen=True, slots=True)
class SubmissionFacts:
    """State of a tenant at ``now``: waiting jobs, worker time used this month, pending messages, and drains.

    ``lines`` maps ids of queues to ids of the tenant's nodes there, without those of fair keys.
    """

    now: datetime
    waiting: int
    used_us: int
    pending_messages: int
    lines: Mapping[int, int]
    drains: Drains


def read_submission_facts(tenant_id: UUID) -> SubmissionFacts:
    """Return the present state of the tenant, in one query of the current transaction."""
    row = fetch_one(_READ_STANDING, {
        "tenant_id": tenant_id, "key": WORKER_SECONDS.key, "outbox_key": OUTBOX_PENDING.key, "no_period": NO_PERIOD,
    })  # fmt: skip
    return SubmissionFacts(
        now=row.now,
        waiting=int(row.waiting),
        used_us=row.used_us,
        pending_messages=row.pending_messages,
        lines=dict(zip(row.queue_ids or (), row.ids or (), strict=True)),
        drains=Drains.of(row.now, row.drains or ()),
    )


@dataclass(frozen=True, slots=True)
class RateStatus:
    """State of the token bucket of a tenant's submissions: its size, its tokens, and the seconds until it is full."""

    burst: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """Return the `RateLimit-…` headers for the response to a submission."""
        return {
            "RateLimit-Limit": str(self.burst),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


@dataclass(frozen=True, slots=True)
class SubmissionAllowance:
    """Limits and present state of a tenant, against which one submission is checked."""

    tenant_id: UUID
    limits: Mapping[str, EffectiveLimit]
    standing: SubmissionFacts

    @classmethod
    def read(cls, tenant_id: UUID, *, wanted: int) -> Self:
        """Read the limits (cached) and the state of the tenant for a submission of ``wanted`` jobs.

        Near the limit of waiting jobs, first take a lock that serializes the tenant's submissions.
        """
        limits = _OF_SUBMISSION.get(tenant_id)
        ample = _allowed(limits, MAX_WAITING_JOBS.key) - NEAR_JOBS
        standing = read_submission_facts(tenant_id)
        if standing.waiting + wanted > ample:
            LockClass.WAITING_JOBS.hold(str(tenant_id))
            standing = read_submission_facts(tenant_id)
        return cls(tenant_id, limits, standing)

    @property
    def room(self) -> int:
        """Return how many more jobs may wait."""
        return self._allowed(MAX_WAITING_JOBS.key) - self.standing.waiting

    def check_new(self, new: int, *, may_emit: bool) -> None:
        """Raise QuotaExceededError if no further job may be accepted after ``new`` jobs of this submission.

        Jobs that emit no messages are accepted at the limit of pending messages.
        """
        seconds = self._allowed(WORKER_SECONDS.key)
        if self.standing.used_us >= seconds * WORKER_SECONDS.counts_per_unit:
            resets_at = month_end(self.standing.now)
            raise QuotaExceededError(
                "The %(seconds)s s of worker time of this month are used up.",
                {"seconds": f"{seconds:,}"},
                retry_after_seconds=max(1, math.ceil((resets_at - self.standing.now).total_seconds())),
                limit=LimitReached(
                    WORKER_SECONDS.key,
                    WORKER_SECONDS.unit,
                    seconds,
                    self.standing.used_us // WORKER_SECONDS.counts_per_unit,
                    resets_at,
                ),
            )
        if new >= self.room:
            allowed = self._allowed(MAX_WAITING_JOBS.key)
            raise QuotaExceededError(
                "The plan allows %(allowed)s waiting jobs.",
                {"allowed": f"{allowed:,}"},
                retry_after_seconds=QUOTA_RETRY_AFTER_SECONDS,
                limit=LimitReached(MAX_WAITING_JOBS.key, MAX_WAITING_JOBS.unit, allowed, self.standing.waiting + new),
            )
        if may_emit:
            self._check_messages()

    def _check_messages(self) -> None:
        allowed, pending = self._allowed(OUTBOX_PENDING.key), self.standing.pending_messages
        if pending >= allowed:
            raise QuotaExceededError(
                "%(pending)s outbox messages are not delivered; %(allowed)s may be. Repair their receivers, or "
                "delete routes that are no longer needed.",
                {"pending": f"{pending:,}", "allowed": f"{allowed:,}"},
                retry_after_seconds=QUOTA_RETRY_AFTER_SECONDS,
                limit=LimitReached(OUTBOX_PENDING.key, OUTBOX_PENDING.unit, allowed, pending),
            )

    def note_accepted(self, new: int) -> None:
        """Record that ``new`` jobs were accepted, and warn the tenant if its waiting jobs approach the limit."""
        allowed = self._allowed(MAX_WAITING_JOBS.key)
        note_level(tenant_id=self.tenant_id, limit=MAX_WAITING_JOBS, used=self.standing.waiting + new, allowed=allowed)

    def take_tokens(self, wanted: int) -> TokenGrant:
        """Take tokens for ``wanted`` jobs from the tenant's bucket, or as many as it has; return the grant."""
        per_minute, burst = self._allowed(SUBMITS_PER_MINUTE.key), self._allowed(SUBMIT_BURST.key)
        rate = _rate(per_minute, burst)
        grant = None if rate is None else rate_buckets.take(self.tenant_id, rate, wanted)
        return TokenGrant(self.tenant_id, self.standing.now, per_minute, rate, grant)

    def _allowed(self, key: str) -> int:
        return _allowed(self.limits, key)


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """Result of taking tokens from a tenant's bucket; nothing is granted if the tenant's rate is 0."""

    tenant_id: UUID
    now: datetime
    per_minute: int
    rate: Rate | None
    grant: Grant | None

    @property
    def granted(self) -> int:
        return 0 if self.grant is None else self.grant.granted

    @property
    def standing(self) -> RateStatus:
        if self.rate is None or self.grant is None:
            return RateStatus(0, 0, NEVER_RETRY_AFTER_SECONDS)
        return RateStatus(self.rate.burst, self.grant.remaining, math.ceil(self.grant.backlog_us / 1_000_000))

    def refusal(self, nth: int) -> RateLimitedError:
        """Return the error for the ``nth`` job that got no token, with the seconds to wait."""
        wait_seconds, resets_at = NEVER_RETRY_AFTER_SECONDS, None
        if self.rate is not None and self.grant is not None:
            wait_us = self.grant.wait_us(self.rate, nth)
            wait_seconds = max(1, math.ceil(wait_us / 1_000_000))
            resets_at = self.now + timedelta(seconds=wait_seconds)
        return RateLimitedError(
            "%(per_minute)s jobs a minute may be submitted; try again in %(seconds)s s.",
            {"per_minute": f"{self.per_minute:,}", "seconds": wait_seconds},
            retry_after_seconds=wait_seconds,
            limit=LimitReached(
                SUBMITS_PER_MINUTE.key, SUBMITS_PER_MINUTE.unit, self.per_minute, self.per_minute, resets_at
            ),
            headers=self.standing.headers(),
        )

    def give_back(self) -> None:
        """Put the tokens of jobs that were not stored back into the bucket."""
        if self.rate is not None:
            rate_buckets.give_back(self.tenant_id, self.rate, self.granted)


def check_bulk_size(*, tenant_id: UUID, jobs: int) -> None:
    """Raise BulkTooLargeError if the tenant may not submit this many jobs in one request."""
    allowed = allowed_for(tenant_id, JOBS_PER_BULK)
    if allowed is not None and jobs > allowed:
        raise BulkTooLargeError(
            "The request has %(jobs)s jobs; the plan allows %(allowed)s.",
            {"jobs": f"{jobs:,}", "allowed": f"{allowed:,}"},
            limit=LimitReached(JOBS_PER_BULK.key, JOBS_PER_BULK.unit, allowed, jobs),
        )


def expire_limits() -> None:
    """Expire limit overrides that have ended, and release tenants that were held by a limit of an ended month.

    One process at a time does it.
    """
    with all_tenants():
        if try_to_lead(LockClass.LIMITS_KEPT):
            expire_tenant_limits()
            release_ended_periods()


def _allowed(limits: Mapping[str, EffectiveLimit], key: str) -> int:
    allowed = limits[key].allowed
    assert allowed is not None  # plans have a column for it, or it has a default
    return allowed
