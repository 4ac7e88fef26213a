"""Pruning of chains: only from the beginning, up to a signed checkpoint, and the rest stays verifiable."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import ProgrammingError, connection
from django.utils import timezone

from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.heads import build_head, last_heads
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditCounter, AuditHead, AuditLogEntry, AuditSeal
from tests.auditing import auditor_login, erase_chain, prune_audit, seal_entries, sign_heads
from tests.integration.tenants.audit.conftest import act, seals_of

pytestmark = pytest.mark.django_db(transaction=True)


def later():
    return timezone.now() + timedelta(days=1)


def test_pruned_chain_stays_verifiable(sealed_log, acme, globex):
    sign_heads()
    kept = list(last_heads())
    total = len(seals_of(acme.pk))
    pruned = prune_audit(chain=acme.pk, before=later(), limit=4)
    assert (pruned.entries, pruned.has_more) == (4, True)
    assert [seal.sequence for seal in seals_of(acme.pk)] == list(range(5, total + 1))
    with all_tenants():
        assert AuditLogEntry.objects.filter(tenant=acme).count() == total - 4
        assert AuditLogEntry.objects.filter(tenant=globex).exists()
    act(acme, 20)
    seal_entries()
    assert verify_chains(heads=kept).findings == []


def test_last_seal_of_a_chain_is_kept_so_that_it_continues(sealed_log, acme):
    total = len(seals_of(acme.pk))
    pruned = prune_audit(chain=acme.pk, before=later(), limit=1000)
    assert (pruned.entries, pruned.has_more) == (total - 1, False)
    assert prune_audit(chain=acme.pk, before=later(), limit=1000).entries == 0
    act(acme, 20)
    seal_entries()
    assert [seal.sequence for seal in seals_of(acme.pk)] == [total, total + 1]
    assert verify_chains().findings == []


def test_recent_entries_are_not_pruned(sealed_log, acme):
    assert prune_audit(chain=acme.pk, before=timezone.now() - timedelta(days=1), limit=10).entries == 0
    with all_tenants():
        assert not AuditHead.objects.exists()


def test_second_pruning_leaves_one_checkpoint(sealed_log, acme):
    prune_audit(chain=acme.pk, before=later(), limit=2)
    prune_audit(chain=acme.pk, before=later(), limit=2)
    with all_tenants():
        checkpoints = list(
            AuditHead.objects.filter(chain=acme.pk, kind="checkpoint").values_list("sequence", flat=True)
        )
    assert checkpoints == [4]
    assert verify_chains().findings == []


def test_platforms_chain_can_be_pruned(sealed_log):
    act(None, 2)
    seal_entries()
    assert prune_audit(chain=PLATFORM_CHAIN, before=later(), limit=1).entries == 1
    assert verify_chains().findings == []


def test_seal_restored_before_the_checkpoint_is_found(sealed_log, owner, acme):
    first = seals_of(acme.pk)[0]
    prune_audit(chain=acme.pk, before=later(), limit=4)
    owner.execute(
        "INSERT INTO tenants_auditseal (entry_id, chain, sequence, entry_hash, previous_hash, hash, sealed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [first.entry_id, first.chain, 1, first.entry_hash, first.previous_hash, first.hash, first.sealed_at],
    )
    (finding,) = verify_chains().findings
    assert (finding.kind, finding.sequence) == ("seal_before_checkpoint", 1)


def test_auditor_deletes_only_what_a_checkpoint_covers(sealed_log, acme):
    seals = seals_of(acme.pk)
    with auditor_login(), all_tenants():
        assert delete("tenants_auditlogentry", "tenant_id = %s", acme.pk) == 0
        build_head("checkpoint", acme.pk, 3, seals[2].hash).save(force_insert=True)
        assert delete("tenants_auditlogentry", "tenant_id = %s", acme.pk) == 3
        assert delete("tenants_auditseal", "chain = %s", acme.pk) == 3
        # A head followed by a later checkpoint may be deleted; the checkpoint itself may not.
        assert delete("tenants_audithead", "chain = %s", acme.pk) == 0


def test_tenant_can_delete_nothing_and_no_role_can_update(sealed_log, acme):
    for statement in (
        "DELETE FROM tenants_auditlogentry",
        "DELETE FROM tenants_auditseal",
        "DELETE FROM tenants_audithead",
        "DELETE FROM tenants_auditpending",
        "INSERT INTO tenants_audithead SELECT * FROM tenants_audithead",
        "INSERT INTO tenants_auditseal SELECT * FROM tenants_auditseal",
    ):
        with tenant_context(acme), pytest.raises(ProgrammingError, match="permission denied"):
            execute(statement)
    for table in ("tenants_auditlogentry", "tenants_auditseal", "tenants_audithead", "tenants_auditpending"):
        column = "entry_id" if table in ("tenants_auditseal", "tenants_auditpending") else "id"
        with all_tenants(), pytest.raises(ProgrammingError, match="permission denied"):
            execute(f"UPDATE {table} SET {column} = {column}")


def test_tenant_sees_only_the_seals_and_heads_of_its_chain(sealed_log, acme, globex):
    sign_heads()
    with tenant_context(acme):
        for model in (AuditSeal, AuditHead):
            assert set(model.objects.values_list("chain", flat=True)) == {acme.pk}
            assert set(model._base_manager.values_list("chain", flat=True)) == {acme.pk}


def test_erasure_removes_everything_of_the_tenant_and_nothing_else(sealed_log, acme, globex):
    sign_heads()
    act(acme, 30)
    last = seals_of(acme.pk)[-1]
    others = len(seals_of(globex.pk))
    erase_chain(acme.pk)
    with all_tenants():
        final = AuditCounter.objects.get(chain=acme.pk).final_head
    assert (final["kind"], final["chain"]) == ("final", str(acme.pk))
    assert (final["sequence"], final["hash"]) == (last.sequence, last.hash)
    with all_tenants(), connection.cursor() as cursor:
        for table, column in (
            ("tenants_auditlogentry", "tenant_id"),
            ("tenants_auditpending", "tenant_id"),
            ("tenants_auditseal", "chain"),
            ("tenants_audithead", "chain"),
        ):
            cursor.execute(f"SELECT count(*) FROM {table} WHERE {column} = %s", [acme.pk])
            assert cursor.fetchone() == (0,), table
    assert len(seals_of(globex.pk)) == others
    assert verify_chains().findings == []


def test_platforms_chain_is_never_erased(sealed_log):
    with pytest.raises(ValueError, match="never erased"):
        erase_chain(PLATFORM_CHAIN)


def delete(table: str, condition: str, *parameters) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {condition}", list(parameters))
        return cursor.rowcount


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
