"""Changes of controls: their configuration, what one would have held, and the override of those that hold a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from scheduling.configuration.service import Configured
from scheduling.controls.exceptions import NotHeldByControlError
from scheduling.controls.holds import facts_of
from scheduling.controls.models import ControlHold, ControlRule
from scheduling.controls.queries import terms_of
from scheduling.controls.rules import RULES, Checkpoint
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import JobNotFoundError
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waiting_jobs import LOOKS, make_ready
from scheduling.kit import registry
from scheduling.models import Job, JobSuspended
from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.pausing import require_reason

REASON_LIMIT = 500
# What a new control would have held is counted over these jobs, the newest first.
WINDOW, MOST_JOBS = timedelta(hours=1), 500


@dataclass(frozen=True, slots=True)
class ControlPreview:
    """How many of the jobs of the last hour that a control covers it would have held."""

    jobs: int
    held: int
    is_cut: bool = False

    @property
    def text(self) -> str:
        """Return the preview as a sentence."""
        values = {"held": f"{self.held:,}", "jobs": f"{self.jobs:,}"}
        return gettext("It would have held %(held)s of %(jobs)s jobs of the last hour.") % values


def preview_control(row: ControlRule) -> ControlPreview:
    """Return what a control, enabled or not, would have held in the last hour; change nothing.

    At the checkpoints of running jobs nothing is held. At the start the present time counts.
    """
    if row.checkpoint not in (Checkpoint.SUBMISSION, Checkpoint.START):
        return ControlPreview(0, 0)
    now, terms = read_clock(), terms_of(row)
    jobs = Job.objects.filter(pk__gte=uuid7_floor(now - WINDOW)).select_related("queue__pool")
    jobs = jobs.filter(tenant=row.tenant_id) if row.tenant_id else jobs
    jobs = jobs.filter(kind=row.kind) if row.kind else jobs
    found = list(jobs.defer("result", "checkpoint").order_by("-pk")[:MOST_JOBS])
    facts = [facts_of(job, job.queue.pool.region) for job in found]
    if row.checkpoint == Checkpoint.START:
        facts = [one._replace(now=now) for one in facts]
    return ControlPreview(len(found), sum(map(terms.fails, facts)), len(found) >= MOST_JOBS)


def check_control(row: ControlRule) -> None:
    """Raise FieldInvalidError for a control that cannot be checked, or holds every job and is not confirmed."""
    rule = RULES[row.rule]
    if row.checkpoint not in rule.checkpoints:
        values = {"known": ", ".join(rule.checkpoints)}
        raise FieldInvalidError.at("checkpoint", gettext("This rule is checked at: %(known)s.") % values)
    fault = best_match(Draft202012Validator(rule.schema).iter_errors(row.parameters))
    if fault is not None:
        raise FieldInvalidError.at("parameters", fault.message[:200])
    if row.kind and row.kind not in registry.kinds():
        raise FieldInvalidError.at("kind", gettext("There is no such kind of jobs."))
    if not row.is_enabled or row.may_hold_all:
        return
    preview = preview_control(row)
    if preview.jobs and preview.held == preview.jobs:
        detail = gettext("Confirm it here, or let the control cover fewer jobs.")
        raise FieldInvalidError.at("may_hold_all", f"{preview.text} {detail}")


CONTROLS = Configured(
    ControlRule,
    ("name", "checkpoint", "rule", "parameters", "kind", "may_hold_all", "is_enabled"),
    check_control,
    most=50,
)


@transaction.atomic
def override_controls(*, job_id: UUID, reason: str) -> Job:
    """Release a job of the current scope that controls hold; it stays exempt from these controls.

    A job that is due later starts at its time. Raise JobNotFoundError, NotHeldByControlError,
    ReasonRequiredError or ApprovalRequiredError.
    """
    reason = require_reason(reason, max_length=REASON_LIMIT)
    job = first_or_raise(Job.objects.filter(pk=job_id), JobNotFoundError)
    hold = ControlHold.objects.select_for_update(no_key=True).filter(job_id=job_id).first()
    if hold is None or not hold.failures or job.state != JobState.SUSPENDED:
        raise NotHeldByControlError
    failures = hold.failures
    ids = sorted(one["id"] for one in failures)
    arguments = {"job": str(job_id), "controls": ids, "reason": reason}
    words = f"{job}: {', '.join(one['name'] for one in failures)}"
    subject = {"job": str(job_id), "controls": ids}
    require_approval("control.override", arguments, preview=words, tenant_id=job.tenant_id, subject=subject)
    hold.overridden = sorted({*hold.overridden, *(UUID(one["id"]) for one in failures)})
    hold.failures = []
    hold.save(update_fields=["overridden", "failures"])
    if job.run_at > read_clock():
        JobSuspended.objects.filter(job_id=job_id).update(is_own=True, wake_at=job.run_at)
    else:
        data = {"reason": reason}
        states = [JobState.SUSPENDED]
        if not any(make_ready([job_id], from_states=states, event="job.resumed", data=data) for _ in range(LOOKS)):
            raise NotHeldByControlError
        wake_on_commit()
    job = Job.objects.get(pk=job_id)
    record_audit(
        action="control.overridden",
        target=job,
        before={"state": JobState.SUSPENDED, "controls": failures},
        after={"state": job.state},
        reason=reason,
    )
    return job
