"""Verification of the newest seals: what an owner of the tables changes is found, in a bounded number of reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from scheduling.alerts import sources
from scheduling.alerts.measures import measures
from tenants.audit import tail
from tenants.audit.tail import verify_tails
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.audit_tampering import cut_end, rehash
from tests.auditing import seal_entries, sign_heads
from tests.integration.tenants.audit.conftest import act, seals_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sealed_log")]
Owner = psycopg.Connection[Any]


def found() -> list[tuple[str, int | None]]:
    with all_tenants():
        return [(finding.kind, finding.sequence) for finding in verify_tails()]


def edit(owner: Owner, tenant: Tenant, sequence: int) -> None:
    entry = seals_of(tenant.pk)[sequence - 1].entry_id
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'another' WHERE id = %s", [entry])


def grow(tenant: Tenant, number: int) -> None:
    for each in range(number):
        act(tenant, 100 + each)
    seal_entries(budget_seconds=60)


def test_intact_log_has_no_findings(acme: Tenant) -> None:
    assert found() == []
    sign_heads()
    grow(acme, 3)
    assert found() == []


def test_edited_deleted_cut_and_rehashed_entries_are_found(owner: Owner, acme: Tenant, globex: Tenant) -> None:
    edit(owner, acme, 8)
    assert found() == [("entry_edited", 8)]
    sign_heads()
    rehash(owner, acme.pk)
    assert "head_differs" in [kind for kind, _ in found()]
    cut_end(owner, globex.pk, above=0)
    act(globex, 9)
    assert "entry_missing" not in [kind for kind, _ in found()]


def test_chain_is_verified_from_a_signed_head_on(owner: Owner, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_heads()
    grow(acme, 6)
    monkeypatch.setattr(tail, "SEALS", 5)
    edit(owner, acme, 3)
    assert found() == []
    edit(owner, acme, 14)
    assert found() == [("entry_edited", 14)]


def test_cut_end_is_found_by_the_head_that_was_signed_there(owner: Owner, acme: Tenant) -> None:
    sign_heads()
    cut_end(owner, acme.pk, above=8)
    assert "end_missing" in [kind for kind, _ in found()]


def test_finding_is_a_sample_and_requests_the_whole_verification_once(
    owner: Owner, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[str] = []
    monkeypatch.setattr(sources, "request_upkeep", lambda *, name: requested.append(name))
    edit(owner, acme, 9)
    now = datetime.now(UTC)
    for _ in range(2):
        with all_tenants():
            samples = {sample.object_key: sample for sample in measures()["integrity"].read(now)}
        assert "differs" in samples["check:audit"].facts["message"]
    assert requested == ["verify_audit"]
    with all_tenants():
        assert AuditLogEntry.objects.exists()
