"""A bulk operation that needs a second person: refused by a real web process, done by the approval of a command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from scheduling.approvals.configured import APPROVAL_RULES
from scheduling.models import Job
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.models import ApprovalRequest, ApprovalRule, AuditLogEntry, Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.keys import issue_api_key

LATER = timedelta(hours=1)


@pytest.fixture
def rule(acme: Tenant) -> Iterator[None]:
    made = APPROVAL_RULES.save(ApprovalRule(), {"act": "bulk", "above": 1})
    yield
    APPROVAL_RULES.delete(made)


def test_refused_bulk_operation_cancels_jobs_after_the_approval(platform: Platform, acme: Tenant, rule: None) -> None:
    jobs = submit(acme, "noop", {}, {}, run_at=timezone.now() + LATER)
    port = free_port()
    platform.start_web(port)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the web server answers")
    issuer = User.objects.create_user(f"{acme.slug}-owner")
    with acting_as(Actor("user", str(issuer.pk), issuer.username)):
        headers = {"Authorization": f"Api-Key {issue_api_key(tenant=acme, name='bulk').token}"}
    body = {"filter": "kind:noop", "operation": "cancel", "reason": "a flood"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", headers=headers) as client:
        refused = client.post("bulk-operations/", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "approval_required")
        asked = client.get("approval-requests/").json()["results"]
    assert [row["id"] for row in asked] == [refused.json()["errors"][0]["detail"]]
    platform.run("approvals", "approve", asked[0]["id"], "--reason", "right")

    def are_cancelled() -> bool:
        with tenant_context(acme):
            return Job.objects.filter(pk__in=[job.pk for job in jobs], state="cancelled").count() == len(jobs)

    eventually(are_cancelled, what="the approved operation has cancelled the jobs")
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="approval_request.approved", tenant=acme)
        assert ApprovalRequest.objects.get(tenant=acme).status == "done"
    after = entry.after or {}
    assert after["requested_by"].startswith("api_key:bulk")
    assert after["decided_by"].startswith("command:")
