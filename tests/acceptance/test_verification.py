"""A requested verification with real processes: a worker runs it without beat."""

from __future__ import annotations

from uuid import UUID

import pytest
from celery import current_app

from scheduling.celery import publishing
from scheduling.conf import RUN_UPKEEP_TASK, UPKEEP_QUEUE
from scheduling.models import TenantUpkeepRun
from scheduling.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually


def unsealed(tenant: Tenant) -> bool:
    with all_tenants():
        return AuditLogEntry.objects.filter(tenant_id=tenant.pk, seal__isnull=True).exists()


def publish(name: str, tenant_id: UUID | None = None) -> None:
    """Publish as the request's own process would: this process's Celery uses the broker of the other tests."""
    with current_app.connection_for_write(url=platform_settings.REDIS_URL) as connection:
        task = current_app.signature(RUN_UPKEEP_TASK)
        task.apply_async(args=[name, str(tenant_id)], queue=UPKEEP_QUEUE, ignore_result=True, connection=connection)


def test_worker_verifies_a_requested_chain(platform: Platform, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.start_worker(pool="maintenance", concurrency=1)
    for _ in range(5):
        pause_tenant(tenant=acme, reason="a trial")
        resume_tenant(tenant=acme)
    eventually(lambda: not unsealed(acme), what="all entries are sealed")
    monkeypatch.setattr(publishing, "publish_upkeep", publish)
    requested = request_tenant_run(name=AUDIT_TASK, tenant=acme).run

    def finished() -> TenantUpkeepRun | None:
        with all_tenants():
            return TenantUpkeepRun.objects.filter(pk=requested.pk, finished_at__isnull=False).first()

    run = eventually(finished, what="the run has ended")
    assert run is not None
    assert (run.outcome, run.counts["chains"], run.counts["seals"] >= 10) == ("ok", 1, True)
