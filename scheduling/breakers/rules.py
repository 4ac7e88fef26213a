"""State transitions of circuit breakers, as pure functions.

A breaker guards a dependency of the jobs of one kind: the kind's own work, or a dependency that its processor names. A
number of consecutive failures within a window opens it: further jobs wait instead of spending attempts. After a
cool-down it is half open, and one job runs as the probe. If the probe succeeds, the breaker closes; if it fails, the
breaker opens for another cool-down. Results of jobs that were running when it opened are ignored.

A tenant's own breaker counts its own failures. A shared one counts those of all tenants, but each tenant for at most
half of the number that opens it: failures of one tenant alone stop no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

# The longest cool-down in seconds: a Retry-After cannot hold jobs back for a day.
MAX_COOL_DOWN_SECONDS = 3_600.0


# Error type of a dependency that refuses every request.
REFUSED = "dependency_refused"


class CircuitState(StrEnum):
    """State of a breaker; a breaker without failures has no row and no state."""

    COUNTING = "counting"
    OPEN = "open"
    HALF_OPEN = "half_open"
    CLOSING = "closing"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


BLOCKING = (CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.FORCED_OPEN)
FORCED = (CircuitState.FORCED_OPEN, CircuitState.FORCED_CLOSED)


@dataclass(frozen=True, slots=True)
class CircuitName:
    """Key of a breaker: tenant (None if shared), kind, and dependency (empty for the kind itself)."""

    tenant_id: UUID | None
    kind: str
    dependency: str = ""

    @property
    def is_shared(self) -> bool:
        """Return whether the breaker applies to the jobs of all tenants."""
        return self.tenant_id is None


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """``failures`` within ``window_seconds`` open a breaker for ``cool_down_seconds``; 0 failures: it never opens."""

    failures: int
    window_seconds: float
    cool_down_seconds: float


@dataclass(frozen=True, slots=True)
class ExecutionEnd:
    """Result of an execution or request: a transient error or, with an empty fingerprint, a success."""

    tenant_id: UUID
    job_id: UUID
    fingerprint: str
    error_type: str
    error_message: str
    at: datetime
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CircuitRecord:
    """State of a breaker, as in its row, without its key. ``tenants`` counts failures by tenant, if it is shared.

    ``error_message`` is as stored; it may be sealed for the job ``error_job_id``.
    """

    state: CircuitState
    failures: int
    fingerprint: str
    error_type: str
    error_message: str
    counted_from: datetime
    opened_at: datetime | None = None
    until: datetime | None = None
    probe_job_id: UUID | None = None
    tenants: Mapping[str, int] = field(default_factory=dict)
    error_job_id: UUID | None = None


def next_breaker_state(
    name: CircuitName,
    standing: CircuitRecord | None,
    endings: Iterable[ExecutionEnd],
    policy: CircuitPolicy,
    now: datetime,
) -> CircuitRecord | None:
    """Return a breaker's record after these results, applied in order; None if the breaker must be deleted."""
    for ending in endings:
        standing = _follow_one(name, standing, ending, policy, now)
    return standing


def _follow_one(
    name: CircuitName,
    standing: CircuitRecord | None,
    ending: ExecutionEnd,
    policy: CircuitPolicy,
    now: datetime,
) -> CircuitRecord | None:
    if standing is None or standing.state is CircuitState.COUNTING:
        if not ending.fingerprint:
            return None
        counted = _count(name, standing, ending, policy)
        is_open = _is_enough(name, counted, policy) or _is_refused(name, ending, policy)
        return _opened(counted, ending, policy, now) if is_open else counted
    if standing.state is not CircuitState.HALF_OPEN or ending.job_id != standing.probe_job_id:
        return standing
    if not ending.fingerprint:
        return replace(standing, state=CircuitState.CLOSING, until=None, probe_job_id=None)
    return _opened(_counted(name, ending, standing), ending, policy, now)


def _count(
    name: CircuitName, standing: CircuitRecord | None, ending: ExecutionEnd, policy: CircuitPolicy
) -> CircuitRecord:
    window = timedelta(seconds=policy.window_seconds)
    goes_on = (
        standing is not None
        # Any failure of a named dependency counts; for a kind itself only equal errors do.
        and (bool(name.dependency) or standing.fingerprint == ending.fingerprint)
        and ending.at - standing.counted_from <= window
    )
    return _counted(name, ending, standing if goes_on else None)


def _counted(name: CircuitName, ending: ExecutionEnd, before: CircuitRecord | None) -> CircuitRecord:
    """Return the record with one more failure, or a new record with the first failure."""
    tenants = dict(before.tenants) if before else {}
    if name.is_shared:
        tenants[str(ending.tenant_id)] = tenants.get(str(ending.tenant_id), 0) + 1
    return CircuitRecord(
        CircuitState.COUNTING,
        before.failures + 1 if before else 1,
        ending.fingerprint,
        ending.error_type,
        ending.error_message,
        before.counted_from if before else ending.at,
        tenants=tenants,
        error_job_id=ending.job_id,
    )


def _is_enough(name: CircuitName, standing: CircuitRecord, policy: CircuitPolicy) -> bool:
    if policy.failures <= 0:
        return False
    if not name.is_shared:
        return standing.failures >= policy.failures
    most = (policy.failures + 1) // 2
    spread = sum(min(failures, most) for failures in standing.tenants.values())
    return len(standing.tenants) > 1 and spread >= policy.failures


def _is_refused(name: CircuitName, ending: ExecutionEnd, policy: CircuitPolicy) -> bool:
    """Return whether this single failure opens the breaker, because the dependency refuses every request of the tenant.

    A shared breaker counts it like any other failure: the refusal may concern one tenant only.
    """
    return policy.failures > 0 and not name.is_shared and bool(name.dependency) and ending.error_type == REFUSED


def _opened(standing: CircuitRecord, ending: ExecutionEnd, policy: CircuitPolicy, now: datetime) -> CircuitRecord:
    """Return the record as open for the cool-down or the dependency's Retry-After, whichever ends later."""
    until = now + timedelta(seconds=policy.cool_down_seconds)
    if ending.retry_after_seconds is not None:
        asked = min(max(ending.retry_after_seconds, 0.0), MAX_COOL_DOWN_SECONDS)
        until = max(until, ending.at + timedelta(seconds=asked))
    return replace(standing, state=CircuitState.OPEN, opened_at=now, until=until, tenants={})


@dataclass(frozen=True, slots=True)
class DependencyReport:
    """A report on a dependency that an execution has used.

    ``is_up`` is True if its last use succeeded, None if unknown. ``is_own_timeout``: the job waited less than usual, so
    the error counts for the tenant's own breaker only.
    """

    name: str
    is_shared: bool
    is_up: bool | None = None
    fingerprint: str = ""
    error_type: str = ""
    error_message: str = ""
    retry_after_seconds: float | None = None
    is_own_timeout: bool = False
