"""Putting jobs where they wait, in the lines of their tenant, as whoever submits does. Behind the door."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from scheduling.models import Job
from scheduling.services.lines import line_ids
from scheduling.services.wakes import wake_tenants
from tenants.context import tenant_context
from tenants.models import Tenant

_LINE = """scheduling_job j JOIN scheduling_schedulingentity e
    ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key"""
_PUT_READY = f"""
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind, j.payload_bytes, j.used_us, j.travels_alone FROM {_LINE}
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state = 'available'
    AND NOT EXISTS (SELECT FROM scheduling_job_held h WHERE h.job_id = j.id)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_PUT_DUE = f"""
INSERT INTO scheduling_job_due (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, due_at)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind, j.payload_bytes, j.used_us, greatest(j.run_at, now()) FROM {_LINE}
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state IN ('scheduled', 'retryable')
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_PUT_SUSPENDED = """
INSERT INTO scheduling_job_suspended (job_id, tenant_id)
SELECT j.id, j.tenant_id FROM scheduling_job j WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state = 'suspended'
ON CONFLICT DO NOTHING
"""


def put_where_they_wait(tenant_id: UUID, job_ids: Sequence[str]) -> None:
    """Put a tenant's jobs, whose rows are locked, into the places of their states, and have a tick look at them.

    Counters are left as they are: they may count the jobs already, and are compared once everything is in its place.
    """
    with tenant_context(tenant_id):
        tenant = Tenant.objects.get(pk=tenant_id)
        line_ids(tenant, set(Job.objects.filter(pk__in=job_ids).values_list("queue_id", "fair_key")))
        with connection.cursor() as cursor:
            for statement in (_PUT_READY, _PUT_DUE, _PUT_SUSPENDED):
                cursor.execute(statement, {"job_ids": list(job_ids)})
        wake_tenants(tenant_ids=[tenant_id])
