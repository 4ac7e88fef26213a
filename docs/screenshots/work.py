"""The work that the pictures show: three tenants with documents, a backlog, failures, a schedule and a bulk operation.

Most of it sleeps: a backlog that lasts as long as pictures are taken, and costs a slow machine nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import User
from django.urls import reverse

from jobsplatform.demo.corpus import DAMAGED, Corpus
from jobsplatform.demo.provision import Participant
from jobsplatform.demo.uploads import open_shelf, upload_corpus
from scheduling.bulk.starting import start_bulk_operation
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import create_batch, submit_jobs
from scheduling.models import BulkOperation, CFSPlan, DeadLetter, Job, Queue, Schedule, Worker
from scheduling.schedules.definitions import create_schedule
from scheduling.stops.pauses import pause_queue
from tenants.access.memberships import add_member
from tenants.context import acting_as, all_tenants, command_actor, tenant_context
from tenants.models import Role, Tenant
from tenants.tenancy.service import create_tenant

ACTOR = command_actor("screenshots")
DOCUMENTS = 6
# Seconds of one job of the backlog and how many there are, by the tenant's place among the three.
BACKLOGS = ((2.0, 400), (1.0, 500), (0.5, 600))
IMPORTS = 80
FLAKY = {"how": "transient", "times": 3, "after_seconds": 2, "message": "the archive answered 503"}
SCHEDULES = (
    {"name": "nightly report", "kind": "sleep", "payload": {"seconds": 30}, "cron": "30 2 * * *"},
    {"name": "every quarter of an hour", "kind": "noop", "payload": {}, "cron": "*/15 * * * *"},
)
# Pictures are worth taking when so many jobs have ended, and one has failed for good.
ENOUGH_ENDED = 60


def submit_work(address: str, participants: Sequence[Participant], corpus: Corpus) -> None:
    """Give each tenant documents and a backlog; the last one has a flaky job and one that fails for good."""
    with acting_as(ACTOR):
        last = [_submit_backlog(each, *backlog) for each, backlog in zip(participants, BACKLOGS, strict=True)][-1]
        doomed = {"how": "permanent", "message": "the account is closed"}
        _submit(last, [JobRequest(kind="fail", payload=payload, priority=9) for payload in (FLAKY, doomed)])
        for values in SCHEDULES:
            create_schedule(tenant=last, values={**values, "timezone": "Europe/Berlin"})
        with all_tenants():
            pause_queue(queue=Queue.objects.get(name="maintenance"), reason="the disk is being replaced")
    few = [*corpus.good[:DOCUMENTS], *(path for path in corpus.documents if path.name == DAMAGED)]
    for each in participants:
        list(upload_corpus(address, open_shelf(address, each), few))


def is_enough_done() -> bool:
    """Whether the pages have something to show."""
    with all_tenants():
        has_letters = DeadLetter.objects.exists()
        return has_letters and Job.objects.filter(state=JobState.COMPLETED).count() >= ENOUGH_ENDED


def start_bulk(slug: str) -> None:
    """Raise the priority of all waiting jobs of a tenant, by one bulk operation."""
    with acting_as(ACTOR), all_tenants():
        start_bulk_operation(
            filter_text=f"tenant:{slug} state:available",
            operation="reprioritise",
            parameters={"priority": 3},
            reason="the customer waits for it",
        )


def create_newcomer(password: str) -> str:
    """Create an owner of an empty tenant; return the name to log in with."""
    user = User.objects.create_user("nora", password=password, is_staff=True)
    with acting_as(ACTOR):
        add_member(tenant=create_tenant(slug="hooli", plan="sandbox"), user=user, role=Role.OWNER)
    return user.username


def pages_of_rows() -> dict[str, str]:
    """Return the pages of existing single rows by the names of their pictures."""
    with all_tenants():
        tried = Job.objects.filter(kind="fail").order_by("-execution_count").first()
        waiting = Job.objects.filter(kind="sleep", state=JobState.AVAILABLE).order_by("id").last()
        queue = Queue.objects.get(name="tasks_team")
        found = {
            "job": ("job", tried),
            "job-waiting": ("job", waiting),
            "queue": ("queue", queue),
            "worker": ("worker", Worker.objects.filter(pool__name="default").last()),
            "schedule": ("schedule", Schedule.objects.get(name=SCHEDULES[0]["name"])),
            "bulk-operation": ("bulkoperation", BulkOperation.objects.order_by("id").last()),
            "cfs-plan": ("cfsplan", CFSPlan.objects.get(is_active=True)),
            "tenant": ("tenant", Tenant.objects.filter(pk=tried.tenant_id).first() if tried else None),
        }
        return {
            name: reverse(f"admin:{row._meta.app_label}_{model}_change", args=[row.pk])
            for name, (model, row) in found.items()
            if row is not None
        }


def _submit_backlog(participant: Participant, seconds: float, count: int) -> Tenant:
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=participant.tenant_id)
    backlog = [JobRequest(kind="sleep", payload={"seconds": seconds}, tags=("night",)) for _ in range(count)]
    _submit(tenant, backlog)
    imports = [JobRequest(kind="sleep", payload={"seconds": 60}, priority=-1, tags=("import",)) for _ in range(IMPORTS)]
    with tenant_context(tenant):
        batch = create_batch(tenant=tenant, label="import of March", kind="sleep", total=IMPORTS)
        submit_jobs(tenant=tenant, requests=imports, batch=batch)
    return tenant


def _submit(tenant: Tenant, requests: Sequence[JobRequest]) -> list[UUID]:
    with tenant_context(tenant):
        return [submission.job.pk for _index, submission in submit_jobs(tenant=tenant, requests=requests).accepted]
