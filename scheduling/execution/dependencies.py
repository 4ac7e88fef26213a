"""The external dependencies that one execution uses: checked before each use, and reported when it is settled."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection

from scheduling.breakers.dependencies import WAS_CLOSED, check_breaker, count_refusals, report_probe_result
from scheduling.breakers.rules import REFUSED, DependencyReport
from scheduling.execution import policy, settlement_builders
from scheduling.execution.settlement import Settlement
from scheduling.execution.settlement_builders import Failure
from scheduling.execution.start import StartedExecution
from scheduling.kit.base import Dependency, DependencyRefusedError, Interrupted, PermanentError, TransientError
from scheduling.kit.retry import RetryPolicy
from scheduling.worker.control_block import Cause

# The least seconds between two checks of one dependency by one execution, so that a loop of quick calls adds none.
ASK_SECONDS = 1.0
# Per execution; of more dependencies only the last ones are reported.
MAX_REPORTS = 20
# Before a refused job is dispatched again, doubled each time. Other jobs try meanwhile: what refuses this job may
# accept theirs.
REFUSED_WAIT_SECONDS = 15.0
MAX_REFUSED_WAIT_SECONDS = 900.0
# After this many refusals while its breaker was closed, the job itself is what is refused.
MAX_REFUSALS = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dependency that stopped the job: it is down at least ``until``, or it refused the job's request."""

    dependency: Dependency
    until: datetime | None
    # The message of a refused request; None if the breaker is open.
    answer: str | None = None
    was_closed: bool = False


class DependencyUse:
    """The dependencies that one execution has used, with a report on the last answer of each."""

    def __init__(self, started: StartedExecution) -> None:
        self._started = started
        self._reports: dict[Dependency, DependencyReport] = {}
        self._asked_at: dict[Dependency, float] = {}
        self._probed: set[Dependency] = set()
        self._refusal: Refusal | None = None

    def enter(self, dependency: Dependency) -> None:
        """Check the breakers before the job uses the dependency; raise Interrupted if one of them is open."""
        report = DependencyReport(dependency.name, dependency.is_shared)
        # The last one used moves to the end of the list.
        self._reports[dependency] = self._reports.pop(dependency, report)
        if len(self._reports) > MAX_REPORTS:
            del self._reports[next(iter(self._reports))]
        now = time.monotonic()
        if now - self._asked_at.get(dependency, -ASK_SECONDS) < ASK_SECONDS:
            return
        started = self._started
        passage = check_breaker(
            tenant_id=started.tenant_id,
            kind=started.kind,
            job_id=started.job_id,
            name=dependency.name,
            is_shared=dependency.is_shared,
        )
        if passage.is_barred:
            self._refusal = Refusal(dependency, passage.until)
            raise Interrupted(Cause.DEPENDENCY.value)
        self._asked_at[dependency] = now
        if passage.is_probe:
            self._probed.add(dependency)

    def leave(self, dependency: Dependency, error: BaseException | None) -> None:
        """Record how the dependency answered; a permanent error or an interruption does not count against it.

        Raise Interrupted for a DependencyRefusedError: the job then waits behind the breaker that the report opens.
        """
        if error is not None and (not isinstance(error, Exception) or policy.is_permanent_error(error)):
            return
        report = DependencyReport(dependency.name, dependency.is_shared, is_up=error is None)
        if error is not None:
            wait = policy.requested_wait_seconds(error)
            failure = Failure.of(error, is_permanent=False, retry_after_seconds=wait)
            report = replace(
                report,
                fingerprint=failure.fingerprint,
                error_type=failure.type,
                error_message=failure.message[:200],
                retry_after_seconds=wait,
                is_own_timeout=isinstance(error, TransientError) and error.is_own_timeout,
            )
        self._reports[dependency] = report
        was_closed = dependency not in self._probed
        # Within a transaction of the processor the report would be committed late or never, so it waits for the end.
        if dependency in self._probed and not connection.in_atomic_block:
            self._probed.remove(dependency)
            started = self._started
            report_probe_result(tenant_id=started.tenant_id, kind=started.kind, job_id=started.job_id, report=report)
        if isinstance(error, DependencyRefusedError):
            self._refusal = Refusal(dependency, None, report.error_message, was_closed=was_closed)
            raise Interrupted(Cause.DEPENDENCY.value) from error

    def settlement_of(self, cause: str) -> Settlement | None:
        """Return the settlement of an execution that was stopped for ``cause``; None if another process settles it."""
        if cause != Cause.DEPENDENCY or self._refusal is None:
            return policy.interruption_of(cause, self._started)
        started, refusal, needed = self._started, self._refusal, self._refusal.dependency
        if refusal.answer is None:
            seconds, said = None, {}
        else:
            times, while_closed = count_refusals(tenant_id=started.tenant_id, job_id=started.job_id, name=needed.name)
            if while_closed + refusal.was_closed >= MAX_REFUSALS:
                return self._given_up(needed, refusal.answer)
            seconds = min(REFUSED_WAIT_SECONDS * 2.0 ** min(times, 10), MAX_REFUSED_WAIT_SECONDS)
            said = {WAS_CLOSED: refusal.was_closed}
        return settlement_builders.snoozed(
            started.execution_id,
            started.fence,
            dependency=needed.name,
            is_shared=needed.is_shared,
            until=refusal.until,
            seconds=seconds,
            **said,
        )

    def _given_up(self, dependency: Dependency, answer: str) -> Settlement:
        """Return a dead letter's settlement; it does not count against the dependency, which other jobs reach."""
        self._reports[dependency] = DependencyReport(dependency.name, dependency.is_shared)
        message = f"{dependency.name} refused this job {MAX_REFUSALS} times. Last response: {answer}"
        error = PermanentError(message, code=REFUSED)
        return policy.failure_of(error, self._started, RetryPolicy(max_retries=0), is_permanent=True)

    def told_by(self, settlement: Settlement) -> Settlement:
        """Return a copy of the settlement with the reports on the dependencies used."""
        return replace(settlement, dependencies=tuple(self._reports.values())) if self._reports else settlement
