"""What a tenant may still submit: room among its waiting jobs, worker time of the month, tokens of its rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from scheduling.conf import MAX_BULK_JOBS
from scheduling.dispatch.leadership import lead
from scheduling.exceptions import BulkTooLargeError, QuotaExceededError, RateLimitedError
from scheduling.fairness.gcra import Grant, Rate
from scheduling.limits import rate_buckets
from scheduling.limits.declared import JOBS_PER_BULK, MAX_WAITING_JOBS, SUBMIT_BURST, SUBMITS_PER_MINUTE, WORKER_SECONDS
from scheduling.limits.tenant_standing import TenantStanding, read_standing
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.limits.declared import LimitReached, month_end
from tenants.limits.service import expire_tenant_limits, release_ended_periods
from tenants.limits.usage import EffectiveLimit, KeptLimits, allowed_for, note_level

# How soon a refused client may find room again; waiting jobs drain at the tenant's own pace.
QUOTA_RETRY_AFTER_SECONDS = 10
# A plan that takes nothing at all: only somebody's decision changes that.
NEVER_RETRY_AFTER_SECONDS = 3_600
# Below so much room a tenant's submissions go one after another, so that none counts without the others. Beyond
# it nobody waits: the limit is exact unless more than sixteen full bulks of one tenant are stored at one moment.
NEAR_JOBS = 16 * MAX_BULK_JOBS

_OF_SUBMISSION = KeptLimits("limits", (SUBMITS_PER_MINUTE, SUBMIT_BURST, MAX_WAITING_JOBS, WORKER_SECONDS))


@dataclass(frozen=True, slots=True)
class RateStanding:
    """How a tenant's bucket stands after a submission."""

    burst: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """As the answers to submissions carry it: the size of the bucket, what is in it, when it is full again."""
        return {
            "RateLimit-Limit": str(self.burst),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


@dataclass(frozen=True, slots=True)
class Allowance:
    """A tenant's limits beside how it stands, as one submission finds them."""

    tenant_id: UUID
    limits: Mapping[str, EffectiveLimit]
    standing: TenantStanding

    @classmethod
    def read(cls, tenant_id: UUID, *, wanted: int) -> Self:
        """Read them within the tenant's transaction, by one statement, and another where the limits are not kept.

        Near the limit of waiting jobs take a lock first that the tenant's other submissions wait for, and read again.
        """
        limits = _OF_SUBMISSION.get(tenant_id)
        ample = _allowed(limits, MAX_WAITING_JOBS.key) - NEAR_JOBS
        standing = read_standing(tenant_id)
        if standing.waiting + wanted > ample:
            LockClass.WAITING_JOBS.hold(str(tenant_id))
            standing = read_standing(tenant_id)
        return cls(tenant_id, limits, standing)

    @property
    def room(self) -> int:
        """Jobs that may still wait."""
        return self._allowed(MAX_WAITING_JOBS.key) - self.standing.waiting

    def check_new(self, new: int) -> None:
        """Raise QuotaExceededError unless one more job than ``new`` may be accepted."""
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

    def note_accepted(self, new: int) -> None:
        """Warn the tenant when its waiting jobs come near to the limit."""
        allowed = self._allowed(MAX_WAITING_JOBS.key)
        note_level(tenant_id=self.tenant_id, limit=MAX_WAITING_JOBS, used=self.standing.waiting + new, allowed=allowed)

    def take_tokens(self, wanted: int) -> TokenGrant:
        """Take tokens for ``wanted`` jobs from the tenant's bucket, as many as there are."""
        per_minute, burst = self._allowed(SUBMITS_PER_MINUTE.key), self._allowed(SUBMIT_BURST.key)
        rate = Rate.per_minute(per_minute, burst)
        grant = None if rate is None else rate_buckets.take(self.tenant_id, rate, wanted)
        return TokenGrant(self.tenant_id, self.standing.now, per_minute, rate, grant)

    def _allowed(self, key: str) -> int:
        return _allowed(self.limits, key)


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What the bucket granted; without a rate, nothing."""

    tenant_id: UUID
    now: datetime
    per_minute: int
    rate: Rate | None
    grant: Grant | None

    @property
    def granted(self) -> int:
        return 0 if self.grant is None else self.grant.granted

    @property
    def standing(self) -> RateStanding:
        if self.rate is None or self.grant is None:
            return RateStanding(0, 0, NEVER_RETRY_AFTER_SECONDS)
        return RateStanding(
            self.rate.burst, self.grant.remaining(self.rate), math.ceil(self.grant.backlog_us / 1_000_000)
        )

    def refusal(self, nth: int) -> RateLimitedError:
        """Why the ``nth`` job beyond the grant is refused, and until when."""
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
        """Return the tokens: what they were for was not stored."""
        if self.rate is not None:
            rate_buckets.give_back(self.tenant_id, self.rate, self.granted)


def check_bulk_size(*, tenant_id: UUID, jobs: int) -> None:
    """Raise BulkTooLargeError for more jobs than the tenant may send in one request."""
    allowed = allowed_for(tenant_id, JOBS_PER_BULK)
    if allowed is not None and jobs > allowed:
        raise BulkTooLargeError(
            "The request has %(jobs)s jobs; the plan allows %(allowed)s.",
            {"jobs": f"{jobs:,}", "allowed": f"{allowed:,}"},
            limit=LimitReached(JOBS_PER_BULK.key, JOBS_PER_BULK.unit, allowed, jobs),
        )


def keep_limits() -> None:
    """A duty: let overrides expire, and whoever used its month up begin the next. One process at a time."""
    with all_tenants():
        if lead(LockClass.LIMITS_KEPT):
            expire_tenant_limits()
            release_ended_periods()


def _allowed(limits: Mapping[str, EffectiveLimit], key: str) -> int:
    allowed = limits[key].allowed
    assert allowed is not None  # plans have a column for it, or it has a default
    return allowed
