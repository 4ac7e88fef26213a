"""Bulk acts: an act on many rows is in the chain of each affected tenant."""

from __future__ import annotations

import pytest

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.retries import retry_jobs
from tenants.context import Actor, acting_as, all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db


def test_bulk_act_is_audited_in_each_tenant_with_its_own_jobs(acme: Tenant, globex: Tenant) -> None:
    ids = [job.pk for job in (*submit(acme, 2), *submit(globex, 1))]
    with acting_as(Actor(kind="user", label="stella")), all_tenants():
        assert cancel_jobs(job_ids=ids, reason="a flood") == set(ids)
        bulk = retry_jobs(job_ids=ids, reason="over")
        entries = AuditLogEntry.objects.filter(actor_label="stella")
        cancelled, retried = entries.filter(action="job.cancelled"), entries.filter(action="job.retried")
        assert {entry.tenant_id: entry.after for entry in cancelled} == {acme.pk: {"jobs": 2}, globex.pk: {"jobs": 1}}
        assert {entry.tenant_id: entry.after["replayed"] for entry in retried} == {acme.pk: 2, globex.pk: 1}
        assert retried.get(tenant_id=globex.pk).after["jobs"] == [str(bulk.replayed[ids[2]].pk)]
