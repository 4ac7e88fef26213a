"""Controls of the start: a tick holds the picked jobs that fail one, before it claims the others."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scheduling.controls.holds import Failure, record_holds
from scheduling.controls.models import ControlHold
from scheduling.controls.queries import Controls
from scheduling.controls.rules import Checkpoint, Facts
from scheduling.fairness.shares import Pick
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waiting_jobs import end_waiting
from scheduling.models import JobSuspended
from tenants.database.clock import read_clock


def hold_failing(picks: Sequence[Pick], controls: Controls) -> set[UUID]:
    """Suspend the picked jobs that fail a control of the start and are not exempt, and return their ids.

    The tick has locked their rows. A job that only a maintenance window holds continues at its end.
    """
    now, failures = read_clock(), []
    for pick in picks:
        assert pick.job.job_id is not None
        facts = Facts(pick.job.kind, pick.tenant_id, now, controls.regions.get(pick.queue_id, ""))
        covering = controls.covering(Checkpoint.START, pick.job.kind, pick.tenant_id)
        if failed := [terms for terms in covering if terms.fails(facts)]:
            failures.append(Failure(pick.job.job_id, pick.tenant_id, failed))
    failures = _without_exempt(failures) if failures else []
    by_cause: dict[tuple[str, ...], list[Failure]] = {}
    for failure in failures:
        by_cause.setdefault(tuple(one.id for one in failure.controls), []).append(failure)
    held: set[UUID] = set()
    for alike in by_cause.values():
        data = {"reason": f"control_failed: {', '.join(one.name for one in alike[0].controls)}"}
        moved = end_waiting([one.job_id for one in alike], state=JobState.SUSPENDED, event="job.suspended", data=data)
        ends = [terms.window_end(now) for terms in alike[0].controls]
        if all(ends):
            JobSuspended.objects.filter(job_id__in=moved).update(is_own=True, wake_at=max(end for end in ends if end))
        record_holds([one for one in alike if one.job_id in moved])
        held |= moved
    return held


def _without_exempt(failures: Sequence[Failure]) -> list[Failure]:
    """Return the failures without the controls that a person has overridden for the job."""
    rows = ControlHold.objects.filter(job_id__in=[one.job_id for one in failures]).values_list("job_id", "overridden")
    exempt = {job_id: set(map(str, ids)) for job_id, ids in rows}
    left = [
        one._replace(controls=[terms for terms in one.controls if terms.id not in exempt.get(one.job_id, ())])
        for one in failures
    ]
    return [one for one in left if one.controls]
