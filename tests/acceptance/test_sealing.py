"""The audit log with real processes: entries are sealed one by one while jobs are submitted and run."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

from tenants.audit.chain import chain_of
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, AuditSeal, Tenant
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import submit, wait_for_all
from tests.acceptance.processes import eventually

ROUNDS, JOBS_A_ROUND = 25, 8


def unsealed(tenant: Tenant) -> list[UUID]:
    """Return the entries of a tenant that are not in its chain yet."""
    with all_tenants():
        entries = AuditLogEntry.objects.filter(tenant_id=tenant.pk, seal__isnull=True)
        return list(entries.values_list("pk", flat=True)[:5])


def test_audit_entries_are_sealed_while_jobs_are_submitted(platform: Platform, acme: Tenant, globex: Tenant) -> None:
    rival = platform.start_dispatcher()
    jobs = []
    for _ in range(ROUNDS):
        jobs += submit(acme, "noop", *[{}] * JOBS_A_ROUND)
        with tenant_context(globex):
            pause_tenant(tenant=globex, reason="a trial")
            resume_tenant(tenant=globex)
        # Each round waits for the seals of the previous one only.
        eventually(lambda: not unsealed(acme) and not unsealed(globex), what="all entries are sealed")
    wait_for_all(jobs)
    for tenant in (acme, globex):
        eventually(lambda tenant=tenant: not unsealed(tenant), what="all entries are sealed")
        with all_tenants():
            recorded = AuditLogEntry.objects.filter(tenant_id=tenant.pk).count()
            chain = list(AuditSeal.objects.filter(chain=chain_of(tenant.pk)).order_by("sequence"))
        assert recorded >= ROUNDS
        assert [seal.sequence for seal in chain] == list(range(1, recorded + 1))
        assert all(later.previous_hash == seal.hash for seal, later in pairwise(chain))
        assert verify_chains(tenant=tenant).is_intact
    assert rival.is_running
