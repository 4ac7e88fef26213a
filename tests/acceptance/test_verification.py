"""A verification that does not fit into its request, with real processes: a worker goes on with it without beat."""

from __future__ import annotations

import pytest
from celery import current_app
from django.conf import settings

from scheduling.conf import RUN_UPKEEP_TASK, UPKEEP_QUEUE
from scheduling.services.upkeep import prompts
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, AuditVerification, Tenant
from tenants.services import audit_requests
from tenants.services.audit_verification import Pace
from tenants.services.tenants import pause_tenant, resume_tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually


def unsealed(tenant: Tenant) -> bool:
    with all_tenants():
        return AuditLogEntry.objects.filter(tenant_id=tenant.pk, seal__isnull=True).exists()


def publish(name: str) -> None:
    """As the request's own process would: this one's Celery speaks to the broker of the other tests."""
    with current_app.connection_for_write(url=settings.REDIS_URL) as connection:
        task = current_app.signature(RUN_UPKEEP_TASK)
        task.apply_async(args=[name], queue=UPKEEP_QUEUE, ignore_result=True, connection=connection)


def test_a_worker_finishes_what_a_request_began(
    platform: Platform, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.start_worker(pool="maintenance", concurrency=1)
    for _ in range(5):
        pause_tenant(tenant=acme, reason="a trial")
        resume_tenant(tenant=acme)
    eventually(lambda: not unsealed(acme), what="all entries are sealed")
    monkeypatch.setattr(audit_requests, "FIRST_LOOK", Pace(seals=2, entries=2, steps=1))
    monkeypatch.setattr(prompts, "publish_upkeep", publish)
    begun = audit_requests.request_verification(tenant=acme).verification
    assert not begun.is_complete

    def finished() -> AuditVerification | None:
        with all_tenants():
            return AuditVerification.objects.filter(pk=begun.pk, finished_at__isnull=False).first()

    verification = eventually(finished, what="the verification is finished")
    assert verification is not None
    assert (verification.state, verification.chains, verification.seals >= 10) == ("intact", 1, True)
