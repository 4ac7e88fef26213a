"""What the parent settles for a child that it has ended, or found dead: the running execution and its message."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from scheduling.retry import RetryPolicy
from scheduling.services import verdicts
from scheduling.services.settlement import Settlement
from scheduling.services.verdicts import Failure
from scheduling.worker.control_block import HeldMember, HeldSlot
from scheduling.worker.watch import Finding

DIED = "The worker's process died under the job."
DIED_MERGED = "The worker's process died under a message of several jobs."
ENDED_BEFORE = "the process ended before the job's turn"
ENDED = "another job of the message had its process ended"


def settlements_of(
    held: HeldSlot, members: Sequence[HeldMember], finding: Finding, *, resident_kib: int | None = None
) -> list[Settlement]:
    """The settlements that a finding asks for; none where the lease or somebody else decides.

    ``members`` are the executions of its message that are not settled yet.
    """
    if not held.is_merged and not held.has_begun:
        # It was started and waited for its slot.
        return [_of_waiting(member, finding) for member in members]
    if not held.is_merged:
        settlement = _of_running(held, finding, resident_kib)
        if settlement is None:
            return []
        used_us = (time.monotonic_ns() - held.began_ns) // 1_000
        return [replace(settlement, began_us=held.waited_us, measured_us=used_us)]
    has_company = len(members) > 1
    return [
        replace(settlement, began_us=member.began_us, measured_us=member.measured_us)
        for member in members
        if (settlement := _of_member(member, held, finding, resident_kib, has_company=has_company)) is not None
    ]


def _of_waiting(member: HeldMember, finding: Finding) -> Settlement:
    if finding is Finding.SHUT_DOWN:
        return replace(verdicts.shut_down(member.execution_id, member.fence), measured_us=0)
    return verdicts.returned(member.execution_id, member.fence, cause=ENDED_BEFORE)


def _of_member(
    member: HeldMember, held: HeldSlot, finding: Finding, resident_kib: int | None, *, has_company: bool
) -> Settlement | None:
    is_running = held.has_begun and member.execution_id == held.execution_id
    if is_running and not (has_company and finding is Finding.CRASHED):
        return _of_running(held, finding, resident_kib)
    if finding is Finding.SHUT_DOWN:
        return verdicts.shut_down(member.execution_id, member.fence)
    if finding is Finding.CRASHED:
        # Which of them it was, nobody can tell; alone, the culprit will do it again.
        return verdicts.crashed(
            member.execution_id,
            member.fence,
            crash_count=0,
            was_alone=False,
            cause=DIED_MERGED,
            is_lost=False,
            was_merged=True,
        )
    # What was done and not yet settled is lost with the process.
    return verdicts.returned(member.execution_id, member.fence, cause=ENDED)


def _of_running(held: HeldSlot, finding: Finding, resident_kib: int | None) -> Settlement | None:
    match finding:
        case Finding.CRASHED:
            return verdicts.crashed(
                held.execution_id,
                held.fence,
                crash_count=held.crash_count,
                was_alone=True,
                cause=DIED,
                is_lost=False,
            )
        case Finding.TIMED_OUT:
            return _timed_out(held)
        case Finding.OVER_MEMORY:
            return _over_memory(held, resident_kib or 0)
        case Finding.CANCELLED:
            return verdicts.cancelled(held.execution_id, held.fence)
        case Finding.EXPIRED:
            return verdicts.expired(held.execution_id, held.fence)
        case Finding.SHUT_DOWN:
            return verdicts.shut_down(held.execution_id, held.fence)
    return None


def _timed_out(held: HeldSlot) -> Settlement:
    return verdicts.failed(
        held.execution_id,
        held.fence,
        Failure("timed_out", f"The job ran longer than the {held.timeout_ns / 1e9:g} s that its kind may.", ""),
        failed_attempts=held.attempt,
        policy=RetryPolicy(max_retries=held.max_retries, delays_seconds=(held.retry_delay_seconds,)),
        outcome=verdicts.Outcome.TIMED_OUT,
    )


def _over_memory(held: HeldSlot, resident_kib: int) -> Settlement:
    message = (
        f"The job had {resident_kib // 1_024:,} MiB of memory; the tenant's jobs may have"
        f" {held.memory_limit_kib // 1_024:,} MiB each (peak_memory_mib)."
    )
    verdict = verdicts.failed(
        held.execution_id,
        held.fence,
        Failure("memory_limit_exceeded", message, "", is_permanent=True),
        failed_attempts=held.attempt,
        policy=RetryPolicy(max_retries=held.max_retries),
    )
    return replace(verdict, peak_memory_kib=resident_kib)
