"""Erasure of a long chain: the auditor removes it in batches up to signed checkpoints, and can be interrupted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from tenants.audit import removals as audit_removals
from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.erasure import steps
from tenants.erasure.proof import find_erasure, verify_erasure
from tenants.models import AuditCounter, AuditLogEntry, AuditRemoval, Tenant, TenantErasure
from tests.auditing import advance_erasure, carry_out_removals, seal_entries
from tests.integration.tenants.audit.conftest import act, seals_of
from tests.integration.tenants.erasure.test_erasure import KilledError, asked
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)
ENTRIES, BATCH = 25, 4


@pytest.fixture
def erasure(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> TenantErasure:
    """Return the erasure of a tenant with a chain of several batches, up to the removal of its chain."""
    change_platform_settings(ERASURE_GRACE_SECONDS=0)
    for number in range(ENTRIES):
        act(acme, number)
    erasure = asked(acme)
    seal_entries()
    while find_erasure(erasure_id=erasure.pk).step != steps.CHAIN:
        assert steps.advance(erasure.pk)
    return erasure


def test_auditor_removes_a_bounded_part_of_a_chain_in_a_turn(
    acme: Tenant, erasure: TenantErasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_removals, "BATCH_ENTRIES", BATCH)
    assert not steps.advance(erasure.pk)
    assert "run_auditor" in find_erasure(erasure_id=erasure.pk).note
    left = [len(seals_of(acme.pk))]
    assert left[0] >= ENTRIES
    while left[-1]:
        completed = carry_out_removals()
        left.append(len(seals_of(acme.pk)))
        # Less than a batch is removed with the final head.
        assert (completed, left[-2] - left[-1]) in {(0, BATCH), (1, left[-2])}
        assert left[-2] - left[-1] <= BATCH + 1
        call_command("verify", "audit")  # raises if a chain is broken
    finish(acme, erasure)


def test_auditor_killed_between_batches_continues(
    acme: Tenant, erasure: TenantErasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_removals, "BATCH_ENTRIES", BATCH)
    steps.advance(erasure.pk)
    before = len(seals_of(acme.pk))
    carry_out_removals()
    with monkeypatch.context() as patch:
        patch.setattr(AuditRemoval, "save", die)
        with pytest.raises(KilledError):
            carry_out_removals()
    # The work of the second batch is rolled back with it.
    assert len(seals_of(acme.pk)) == before - BATCH
    finish(acme, erasure)


def test_erasure_without_a_recorded_request_is_not_carried_out(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    for number in range(3):
        act(acme, number)
    seal_entries()
    before = len(seals_of(acme.pk))
    audit_removals.request_removal(acme.pk, AuditRemoval.Kind.ERASURE, before=acme.created_at)
    assert carry_out_removals() == 0
    # A forged record would wait for the grace period, in a chain that is never erased.
    with all_tenants():
        target = AuditTarget("tenants.tenanterasure", "7")
        record_audit(action="tenant.erasure_requested", target=target, after={"subject_id": str(acme.pk)})
    seal_entries()
    assert carry_out_removals() == 0
    assert len(seals_of(acme.pk)) == before
    change_platform_settings(ERASURE_GRACE_SECONDS=0)
    with all_tenants():
        record_audit(action="tenant.erasure_cancelled", target=target, after={"subject_id": str(acme.pk)})
    seal_entries()
    assert carry_out_removals() == 0
    assert len(seals_of(acme.pk)) == before


def test_platforms_chain_is_not_erased_by_a_forged_request(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ERASURE_GRACE_SECONDS=0)
    act(None, 1)
    with all_tenants():
        target = AuditTarget("tenants.tenanterasure", "7")
        record_audit(action="tenant.erasure_requested", target=target, after={"subject_id": str(PLATFORM_CHAIN)})
    seal_entries()
    before = len(seals_of(PLATFORM_CHAIN))
    audit_removals.request_removal(PLATFORM_CHAIN, AuditRemoval.Kind.ERASURE, before=steps.read_moment())
    assert carry_out_removals() == 0
    assert len(seals_of(PLATFORM_CHAIN)) == before > 1


def test_retention_removes_nothing_younger_than_the_auditors_minimum(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    for number in range(3):
        act(acme, number)
    seal_entries()
    before = len(seals_of(acme.pk))
    with all_tenants():
        tomorrow = steps.read_moment() + timedelta(days=1)
    audit_removals.request_removal(acme.pk, AuditRemoval.Kind.RETENTION, before=tomorrow)
    assert carry_out_removals() == 1
    assert len(seals_of(acme.pk)) == before
    change_platform_settings(AUDIT_MINIMUM_DAYS=-1)
    audit_removals.request_removal(acme.pk, AuditRemoval.Kind.RETENTION, before=tomorrow)
    assert carry_out_removals() == 1
    assert len(seals_of(acme.pk)) == 1


def test_pruning_is_audited_in_the_platforms_chain(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(AUDIT_MINIMUM_DAYS=-1)
    for number in range(3):
        act(acme, number)
    seal_entries()
    before = len(seals_of(acme.pk))
    with all_tenants():
        tomorrow = steps.read_moment() + timedelta(days=1)
    audit_removals.request_removal(acme.pk, AuditRemoval.Kind.RETENTION, before=tomorrow)
    assert carry_out_removals() == 1
    assert seal_entries() == 1
    with all_tenants():
        entry = AuditLogEntry.objects.select_related("seal").get(action="audit.pruned")
    assert (entry.tenant_id, entry.seal.chain) == (None, PLATFORM_CHAIN)
    assert (entry.after["chain"], entry.after["kind"]) == (str(acme.pk), "retention")
    assert entry.after["removed"]["tenants_auditseal"] == before - 1
    # A request that removes nothing leaves no entry.
    audit_removals.request_removal(acme.pk, AuditRemoval.Kind.RETENTION, before=tomorrow)
    assert carry_out_removals() == 1
    assert seal_entries() == 0


def test_requests_are_read_in_order_and_forged_ones_delay_none(
    acme: Tenant, globex: Tenant, change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_platform_settings(AUDIT_MINIMUM_DAYS=-1)
    monkeypatch.setattr(audit_removals, "MOST_LOOKS", 1)
    for number in range(3):
        act(acme, number)
    seal_entries()
    with all_tenants():
        tomorrow = steps.read_moment() + timedelta(days=1)
    audit_removals.request_removal(globex.pk, AuditRemoval.Kind.ERASURE, before=tomorrow)
    audit_removals.request_removal(acme.pk, AuditRemoval.Kind.RETENTION, before=tomorrow)
    assert [carry_out_removals() for _ in range(3)] == [0, 1, 0]
    assert len(seals_of(acme.pk)) == 1


def die(*args: Any, **kwargs: Any) -> None:
    raise KilledError


def finish(tenant: Tenant, erasure: TenantErasure) -> None:
    """Run the erasure to its end, and check its proof against the log."""
    while advance_erasure(erasure.pk):
        pass
    done = find_erasure(erasure_id=erasure.pk)
    counts = done.proof["counts"]["tenants_auditlogentry"]
    # Entries of the erasure itself are added to the earlier ones.
    assert (counts["before"] <= counts["removed"], counts["after"]) == (True, 0)
    assert counts["removed"] == done.proof["counts"]["tenants_auditseal"]["removed"]
    assert verify_erasure(erasure_id=erasure.pk).is_good
    with all_tenants():
        assert not AuditLogEntry.objects.filter(tenant_id=tenant.pk).exists()
        assert not AuditRemoval.objects.exists()
        (entry,) = AuditLogEntry.objects.filter(action="tenant.erased")
        assert entry.after["final_head"] == AuditCounter.objects.get(chain=tenant.pk).final_head
    seal_entries()
    call_command("verify", "audit")
