"""Explanations of waits: reasons, position and estimated start, for console, API and commands.

A tenant sees its own position and times, but no numbers of other tenants, and not why the platform stops its machines.
The times depend on all tenants' work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from scheduling.controls.holds import held_by
from scheduling.controls.models import ControlRule
from scheduling.fairness.shares import Move
from scheduling.jobs.batches.queries import awaited_batch
from scheduling.jobs.lifecycle import IN_FLIGHT_STATES, TERMINAL_STATES, JobState
from scheduling.jobs.waits.job_eta import JobsAhead, StartTime, read_ahead, read_start
from scheduling.jobs.waits.missing_keys import DATA_KEY_MISSING, read_key_wait
from scheduling.jobs.waits.start_conditions import ActiveCircuit, StartConditions, read_start_conditions
from scheduling.jobs.waits.tenant_reasons import memory_reasons, tenant_reasons
from scheduling.jobs.waits.waiting_reason import WaitingReason, shown_time, stopped, with_end
from scheduling.kit import registry
from scheduling.models import Execution, Job, JobEvent, JobSuspended
from scheduling.priority_rules.queries import read_move
from tenants.context import all_tenants, require_scope


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of a job's wait.

    ``ahead`` is the work before it in its tenant's order, or None. ``start`` is the estimated start; if that is None,
    ``no_start_because`` is the reason. ``moved`` is by how much rules move it now; the others are without the move.
    """

    reasons: list[WaitingReason]
    ahead: JobsAhead | None = None
    start: StartTime | None = None
    no_start_because: str = ""
    moved: Move | None = None

    @property
    def position(self) -> int | None:
        """Return the job's position among its tenant's ready jobs, from 1; a lower bound if they are very many."""
        return None if self.ahead is None else self.ahead.jobs + 1


def why_waiting(job: Job) -> Explanation | None:
    """Return why the job waits, with at least one reason; None if it runs or has ended.

    It takes about ten statements, all bounded whatever the number of waiting jobs.
    """
    state = JobState(job.state)
    if state in TERMINAL_STATES or state is JobState.EXECUTING:
        return None
    if state in IN_FLIGHT_STATES:
        reason = WaitingReason(
            "dispatched", gettext("Dispatched to a worker, which has not started it yet."), is_stop=False
        )
        return Explanation([reason], no_start_because=gettext("A worker is about to start it."))
    if state is JobState.SUSPENDED:
        reason = _suspension(job)
        return Explanation([reason], no_start_because=reason.detail)
    is_staff = require_scope().is_all_tenants
    with all_tenants(has_savepoint=False):  # once for all reads across tenants
        return _explain_waiting(job, state, is_staff=is_staff)


def _explain_waiting(job: Job, state: JobState, *, is_staff: bool) -> Explanation:
    standing = read_start_conditions(job)
    shown = standing if is_staff else standing.for_tenants()
    reasons = [*_times(job, state, shown), *_slice(job, state), *tenant_reasons(shown)]
    reasons += [*memory_reasons(job, shown), *_job(job, shown), *_topology(shown, is_staff=is_staff)]
    if any(reason.is_stop for reason in reasons):
        # A free slot would not help.
        reasons = [reason for reason in reasons if reason.code != "no_free_slot"]
    if not reasons:
        detail = gettext("Ready; it starts when a slot is free and it is next.")
        reasons = [WaitingReason("waiting_for_turn", detail, is_stop=False)]
    ahead = read_ahead(job)
    has_place = state is JobState.AVAILABLE
    moved = read_move(job) if has_place else None
    if endless := next((reason for reason in reasons if reason.is_stop and reason.until is None), None):
        return Explanation(reasons, ahead if has_place else None, no_start_because=endless.detail, moved=moved)
    start = read_start(job, ahead, standing, opens_at=_opens_at(reasons), is_time=not has_place)
    because = "" if start else gettext("No existing slot could ever run it.")
    return Explanation(reasons, ahead if has_place else None, start, because, moved)


def _suspension(job: Job) -> WaitingReason:
    """Return why the job is suspended: by itself, such as for a person's answer, for its children, or by a person."""
    if (batch := awaited_batch(job.pk)) is not None:
        values = {"ended": batch.ended, "total": batch.total}
        detail = gettext("Waits for its children: %(ended)s of %(total)s have ended.") % values
        return WaitingReason("awaits_children", detail)
    place = JobSuspended.objects.filter(job_id=job.pk, is_own=True).first()
    if failures := held_by(job.pk):
        return _control_failed(failures, None if place is None else place.wake_at)
    if place is not None and not job.execution_count:
        # Controls that held it were overridden before its time.
        return WaitingReason(
            "scheduled", gettext("Not before %(moment)s.") % {"moment": shown_time(job.run_at)}, job.run_at
        )
    if place is None:
        return WaitingReason("suspended", gettext("Suspended until it is resumed."))
    if place.wake_at is None:
        return WaitingReason("awaits_answer", gettext("Waits for an answer to its request."))
    detail = gettext("Waits for an answer to its request, at the latest until %(until)s.") % {
        "until": shown_time(place.wake_at)
    }
    return WaitingReason("awaits_answer", detail, place.wake_at)


def _control_failed(failures: Sequence[Mapping[str, str]], until: datetime | None) -> WaitingReason:
    """Return which controls hold the job, and until when if only a maintenance window does."""
    names = ", ".join(f"{one['name']} ({ControlRule.Rule(one['rule']).label})" for one in failures)
    detail = gettext("Held by controls that it failed: %(names)s.") % {"names": names}
    return WaitingReason("control_failed", detail, until)


def _opens_at(reasons: list[WaitingReason]) -> datetime | None:
    """Return when the last stop is over."""
    return max((reason.until for reason in reasons if reason.is_stop and reason.until), default=None)


def _times(job: Job, state: JobState, standing: StartConditions) -> Iterator[WaitingReason]:
    if state is JobState.SCHEDULED:
        moment = standing.due_at or job.run_at
        cause = _cause_of_wait(job) if job.execution_count else ""
        if cause == DATA_KEY_MISSING:
            yield _key_missing(job, moment)
        if cause == "sandbox_unavailable":
            detail = gettext("The host of its last worker has no sandbox for the files that it reads.")
            yield WaitingReason("sandbox_unavailable", detail, moment)
        yield WaitingReason("scheduled", gettext("Not before %(moment)s.") % {"moment": shown_time(moment)}, moment)
    if state is JobState.RETRYABLE:
        detail = gettext("Attempt %(attempt)s failed; it is tried again after a back-off.") % {"attempt": job.attempt}
        yield WaitingReason("retry_backoff", detail, standing.due_at or standing.now)


def _key_missing(job: Job, moment: datetime) -> WaitingReason:
    wait = read_key_wait(tenant_id=job.tenant_id, job_id=job.pk)
    detail = gettext("Its data key has been missing since %(since)s; the next look-up is at %(moment)s.") % {
        "since": shown_time(wait.since or moment),
        "moment": shown_time(moment),
    }
    # The time alone does not start it: the key must exist.
    return WaitingReason(DATA_KEY_MISSING, detail)


def _cause_of_wait(job: Job) -> str:
    """Return the code that the job's last execution gave for its wait, empty if it gave none."""
    last = JobEvent.objects.filter(job_id=job.pk).order_by("-id").values_list("name", "data").first()
    return str(last[1].get("cause", "")) if last is not None and last[0] == "execution.put_off" else ""


def _slice(job: Job, state: JobState) -> Iterator[WaitingReason]:
    if state is not JobState.AVAILABLE or not job.yield_count:
        return
    last = Execution.objects.filter(job_id=job.id).order_by("-id").values_list("outcome", flat=True).first()
    if last == Execution.Outcome.YIELDED:
        detail = gettext("Yielded its slot after a time slice; it continues from its checkpoint.")
        yield WaitingReason("yielded", detail, is_stop=False)


def _job(job: Job, standing: StartConditions) -> Iterator[WaitingReason]:
    """Yield the reasons that concern jobs of its kind only."""
    yield from stopped("kind_paused", gettext("Jobs of this kind are paused"), standing.kind_pause)
    if standing.circuit.is_on:
        yield _circuit_open(standing.circuit)
    if standing.is_key_full:
        values = {"limit": registry.concurrency_limit(job.kind), "kind": job.kind}
        detail = gettext("The places of its concurrency key are taken: %(limit)s of kind %(kind)s may run at once.")
        # Shown as a stop: the end of the other jobs is not estimated.
        yield WaitingReason("key_cap_reached", detail % values)
    # Without any worker, the reason is the missing worker.
    if standing.slots and not standing.is_kind_announced:
        detail = gettext("No live worker of its queue has the kind %(kind)s. Start a worker that has it.") % {
            "kind": job.kind
        }
        yield WaitingReason("kind_unknown", detail)
    if standing.memory_need > standing.memory_mib:
        detail = gettext("%(kind)s may need %(need)s MiB; a worker process of its queue has %(memory)s MiB.") % {
            "kind": job.kind,
            "need": f"{standing.memory_need:,}",
            "memory": f"{standing.memory_mib:,}",
        }
        yield WaitingReason("memory_class", detail)


def _circuit_open(circuit: ActiveCircuit) -> WaitingReason:
    if circuit.is_forced:
        what = (
            gettext("The breaker of its dependency %(dependency)s is forced open") % {"dependency": circuit.dependency}
            if circuit.dependency
            else gettext("The breaker of this kind is forced open")
        )
        return WaitingReason("circuit_open", with_end(what, circuit.until, circuit.reason), circuit.until)
    what = (
        gettext("Its dependency %(dependency)s failed repeatedly") % {"dependency": circuit.dependency}
        if circuit.dependency
        else gettext("Jobs of this kind failed in a row")
    )
    what += f" ({circuit.reason})" if circuit.reason else ""
    detail = (
        gettext("%(what)s; one job probes, and the others wait for its result.") % {"what": what}
        if circuit.until is None
        else gettext("%(what)s; one job probes at %(moment)s, and the others wait for its result.")
        % {"what": what, "moment": shown_time(circuit.until)}
    )
    return WaitingReason("circuit_open", detail, circuit.until)


def _topology(standing: StartConditions, *, is_staff: bool) -> Iterator[WaitingReason]:
    yield from stopped("queue_paused", gettext("The queue is paused"), standing.queue_pause)
    if standing.queue_cap is not None and standing.queue_in_flight >= standing.queue_cap:
        values = {"running": standing.queue_in_flight, "cap": standing.queue_cap}
        detail = (
            gettext("The queue is at its cap: %(running)s of %(cap)s jobs in flight.") % values
            if is_staff
            else gettext("The queue is at its cap.")
        )
        yield WaitingReason("queue_cap_reached", detail, is_stop=standing.queue_cap == 0)
    if standing.rate_opens_at is not None:
        detail = gettext("The queue has reached its dispatch rate.")
        yield WaitingReason("queue_rate_reached", detail, standing.rate_opens_at, is_stop=False)
    yield from stopped("pool_paused", gettext("The workers of this queue are paused"), standing.pool_pause)
    yield from stopped("pool_draining", gettext("The workers of this queue are draining"), standing.pool_drain)
    if standing.slots == 0:
        detail = (
            gettext("No live worker serves the queue. Its workers are in the region %(region)s, which may be cut off.")
            % {"region": standing.region}
            if standing.region
            else gettext("No live worker serves the queue.")
        )
        yield WaitingReason("no_workers", detail)
    elif standing.in_flight >= standing.slots and not (standing.pool_pause.is_on or standing.pool_drain.is_on):
        detail = (
            gettext("All %(slots)s slots of its workers are in use.") % {"slots": standing.slots}
            if is_staff
            else gettext("All slots of its workers are in use.")
        )
        yield WaitingReason("no_free_slot", detail, is_stop=False)
    if standing.is_broker_away:
        detail = gettext(
            "No jobs are dispatched: the message broker is unavailable. Dispatching resumes when it is back."
        )
        yield WaitingReason("broker_away", detail)
    elif not standing.is_ticked:
        yield WaitingReason("no_dispatcher", gettext("No jobs are dispatched: no dispatcher is running."))
