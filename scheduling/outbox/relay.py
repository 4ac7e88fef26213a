"""Duty of a dispatcher that submits delivery jobs for routes with messages that are due.

A route has at most one delivery job at a time, which keeps the order of its keys. Only this duty gives messages to
jobs, in the transaction that submits the job, so a kill loses nothing.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from scheduling.conf import OUTBOX_KIND
from scheduling.dispatch.leadership import try_to_lead
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.outbox.models import OutboxMessage
from tenants.context import Actor, acting_as, all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.exceptions import DomainError
from tenants.models import Tenant

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
RELAY_ACTOR = Actor(kind="system", id="outbox", label="outbox")
RELAY_SECONDS = 0.5
# Messages of one job.
MOST_MESSAGES = 200
# Time until a tenant that has no room for a job is tried again.
REST_SECONDS = 10.0


class OutboxRelay:
    """The duty, with the tenants that rest because their jobs were refused."""

    def __init__(self) -> None:
        self._rests_until: dict[UUID, float] = {}

    def take_turn(self) -> int:
        """Submit a job for each route with messages that are due; return how many.

        One dispatcher at a time does this, in others it returns 0.
        """
        with acting_as(RELAY_ACTOR), all_tenants():
            if not try_to_lead(LockClass.OUTBOX):
                return 0
            execute(_SQL["release_abandoned"], {})
            execute(_SQL["bury_routeless"], {})
            due = self._read_due()
            ids = {tenant_id for tenant_id, _ in due}
            tenants = Tenant.objects.select_related("plan").in_bulk(list(ids)) if ids else {}
            return sum(self._submit(tenants[tenant_id], route, due[tenant_id, route]) for tenant_id, route in due)

    def _read_due(self) -> Mapping[tuple[UUID, UUID], Sequence[UUID]]:
        now = time.monotonic()
        self._rests_until = {tenant: until for tenant, until in self._rests_until.items() if until > now}
        due: dict[tuple[UUID, UUID], list[UUID]] = defaultdict(list)
        for row in fetch_all(_SQL["find_due"], {"most": MOST_MESSAGES}):
            if row.tenant_id not in self._rests_until:
                due[row.tenant_id, row.route_id].append(row.message_id)
        return due

    def _submit(self, tenant: Tenant, route_id: UUID, message_ids: Sequence[UUID]) -> int:
        if tenant.pk in self._rests_until:
            return 0
        request = JobRequest(kind=OUTBOX_KIND, payload={"route": str(route_id)}, is_internal=True)
        try:
            job = submit_job(tenant=tenant, request=request).job
        except DomainError as refusal:
            logger.info("outbox.waits", extra={"tenant": str(tenant.pk), "cause": refusal.code})
            self._rests_until[tenant.pk] = time.monotonic() + REST_SECONDS
            return 0
        OutboxMessage.objects.filter(pk__in=message_ids).update(delivery_job_id=job.pk)
        return 1
