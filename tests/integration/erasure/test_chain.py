"""A long chain of the audit log goes in batches up to signed checkpoints, and can be interrupted between them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from django.core.management import call_command

from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant, TenantErasure
from tenants.services import audit_pruning
from tenants.services.erasure import steps
from tenants.services.erasure.proof import find_erasure, verify_erasure
from tenants.services.sealing import seal_entries
from tests.integration.audit.conftest import act, seals_of
from tests.integration.erasure.test_erasure import KilledError, asked

pytestmark = pytest.mark.django_db
ENTRIES, BATCH = 25, 4


@pytest.fixture
def erasure(acme: Tenant, settings: Any) -> TenantErasure:
    """One of a tenant with a chain of several batches, up to where its chain is taken away."""
    settings.ERASURE_GRACE_SECONDS = 0
    for number in range(ENTRIES):
        act(acme, number)
    erasure = asked(acme)
    seal_entries()
    while find_erasure(erasure_id=erasure.pk).step != steps.CHAIN:
        assert steps.advance(erasure.pk)
    return erasure


def test_no_step_removes_more_of_the_chain_than_it_may(
    acme: Tenant, erasure: TenantErasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, erase, at_the_end = [len(seals_of(acme.pk))], audit_pruning.erase_chain, []

    def look(tenant_id: Any) -> Any:
        at_the_end.append(len(seals_of(acme.pk)))
        return erase(tenant_id)

    monkeypatch.setattr(steps, "erase_chain", look)
    while steps.advance(erasure.pk, most=BATCH):
        left.append(len(seals_of(acme.pk)))
    assert left[0] >= ENTRIES
    assert max(before - after for before, after in pairwise(left)) == BATCH
    # The last seal goes with the final head.
    assert at_the_end == [1]
    assert verify_erasure(erasure_id=erasure.pk).is_good


def test_interrupted_between_batches_the_rest_of_the_chain_is_intact_and_it_goes_on(
    acme: Tenant, erasure: TenantErasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune, calls = audit_pruning.prune_audit, []

    def breaks(**options: Any) -> Any:
        calls.append(prune(**options))
        if len(calls) == 3:
            raise KilledError
        return calls[-1]

    monkeypatch.setattr(steps, "prune_audit", breaks)
    before = len(seals_of(acme.pk))
    with pytest.raises(KilledError):
        while steps.advance(erasure.pk, most=BATCH):
            pass
    # What the third batch did is rolled back with it.
    assert len(seals_of(acme.pk)) == before - 2 * BATCH
    seal_entries()
    call_command("verify_audit")  # an error if a chain is broken
    while steps.advance(erasure.pk, most=BATCH):
        pass
    done = find_erasure(erasure_id=erasure.pk)
    counts = done.proof["counts"]["tenants_auditlogentry"]
    # Entries that the erasure itself made come on top of those that were there.
    assert (counts["before"] <= counts["removed"], counts["after"]) == (True, 0)
    assert counts["removed"] == done.proof["counts"]["tenants_auditseal"]["removed"]
    assert verify_erasure(erasure_id=erasure.pk).is_good
    with all_tenants():
        assert not AuditLogEntry.objects.filter(tenant_id=acme.pk).exists()
        (entry,) = AuditLogEntry.objects.filter(action="tenant.erased")
    assert entry.after["final_head"]["kind"] == "final"
    seal_entries()
    call_command("verify_audit")
