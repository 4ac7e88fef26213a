"""A control of a running platform: a job with a planted card number waits until its controls are overridden."""

from __future__ import annotations

import json

from scheduling.controls.service import CONTROLS
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import ControlRule, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually

CARD = "4111 1111 1111 1111"


def state_of(job: Job) -> str:
    with all_tenants():
        return Job.objects.values_list("state", flat=True).get(pk=job.pk)


def test_held_job_runs_after_the_command_has_overridden_its_controls(platform: Platform, acme: Tenant) -> None:
    values = {
        "name": "cards",
        "checkpoint": "submission",
        "rule": "payload_detector",
        "parameters": {"detect": ["card"]},
    }
    with tenant_context(acme):
        CONTROLS.save(ControlRule(), values)
    held, free = (
        submit_job(tenant=acme, request=JobRequest(kind="noop", payload=one)).job for one in ({"c": CARD}, {})
    )
    eventually(lambda: state_of(free) == "completed", what="the job without a card number ends")
    assert state_of(held) == "suspended"

    log = platform.run("override_controls", str(held.pk), "--reason=a test card", "--json")
    assert json.loads(log.splitlines()[-1])["controls"] == ["cards"]
    eventually(lambda: state_of(held) == "completed", what="the overridden job ends")
    with all_tenants():
        found = AuditLogEntry.objects.filter(target_id=str(held.pk), action__startswith="control.").order_by("id")
        assert list(found.values_list("action", "reason")) == [
            ("control.failed", ""),
            ("control.overridden", "a test card"),
        ]
