"""Verification of chains: every change by the owner of the tables is found, and a clean log has no findings."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from scheduling.consistency.verification import verify
from tenants.audit import verification as audit_verification
from tenants.audit.chain import PLATFORM_CHAIN, Link
from tenants.audit.heads import last_heads
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants
from tenants.exceptions import CursorInvalidError
from tenants.models import AuditHead, AuditSeal
from tests.audit_tampering import cut_end, rehash
from tests.auditing import erase_chain, seal_entries, sign_heads
from tests.integration.tenants.audit.conftest import act, seals_of

pytestmark = pytest.mark.django_db(transaction=True)


def found(outcome=None) -> list[tuple]:
    """Return the findings: kind, chain and sequence."""
    outcome = outcome or verify_chains()
    return [(finding.kind, finding.chain, finding.sequence) for finding in outcome.findings]


def test_clean_log_has_no_findings_and_its_coverage_is_reported(sealed_log):
    sign_heads()
    outcome = verify_chains()
    with all_tenants():
        seals, heads = AuditSeal.objects.count(), AuditHead.objects.count()
    assert found(outcome) == []
    assert outcome.is_intact
    assert outcome.next is None
    assert outcome.counts() == {"chains": 3, "seals": seals, "entries": seals, "heads": heads, "findings": 0}
    assert heads == 3


def test_unsealed_entry_is_a_finding_only_after_the_grace_period(sealed_log, acme):
    entry = act(acme, 99)
    assert found() == []
    (finding,) = verify_chains(grace_seconds=0).findings
    assert (finding.kind, finding.chain, finding.entry_id) == ("entry_unsealed", acme.pk, entry.pk)


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'another'",
        "at = at + interval '1 microsecond'",
        "actor_id = '8'",
        "actor_label = 'bob'",
        "after = jsonb_set(after, '{n}', '1000')",
        "before = NULL",
        "request_id = ''",
        "tenant_id = NULL",
    ],
)
def test_edited_entry_is_found(sealed_log, owner, acme, change):
    seal = seals_of(acme.pk)[4]
    owner.execute(f"UPDATE tenants_auditlogentry SET {change} WHERE id = %s", [seal.entry_id])
    outcome = verify_chains()
    assert found(outcome) == [("entry_edited", acme.pk, 5)]
    assert outcome.findings[0].entry_id == seal.entry_id


def test_state_verification_finds_an_edited_entry_and_repairs_no_chain(sealed_log, owner, acme, globex):
    assert verify().is_clean
    entry = seals_of(acme.pk)[4].entry_id
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'another' WHERE id = %s", [entry])
    for report in (verify(), verify(tenant=acme), verify(repair=True), verify()):
        assert list(report.findings) == [("audit_chain", acme.pk)]
        (example,) = report.findings["audit_chain", acme.pk].examples
        assert str(example).startswith(f"Chain {acme.pk}, seal 5, entry {entry}: entry_edited.")
        assert not report.is_clean
    assert verify(tenant=globex).is_clean


def test_deleted_entry_is_found(sealed_log, owner, acme):
    seal = seals_of(acme.pk)[4]
    owner.execute("DELETE FROM tenants_auditlogentry WHERE id = %s", [seal.entry_id])
    assert found() == [("entry_missing", acme.pk, 5)]


@pytest.mark.parametrize(("first", "last"), [(5, 5), (4, 6), (1, 2)])
def test_entries_deleted_with_their_seals_are_found(sealed_log, owner, acme, first, last):
    where = "WHERE chain = %s AND sequence BETWEEN %s AND %s"
    owner.execute(
        f"DELETE FROM tenants_auditlogentry WHERE id IN (SELECT entry_id FROM tenants_auditseal {where})",
        [acme.pk, first, last],
    )
    owner.execute(f"DELETE FROM tenants_auditseal {where}", [acme.pk, first, last])
    outcome = verify_chains()
    assert found(outcome) == [("seals_missing", acme.pk, last + 1)]
    assert f"{first} to {last}" in outcome.findings[0].detail


def test_truncated_end_is_found_by_the_signed_heads_of_the_database(sealed_log, owner, acme):
    sign_heads()
    last = len(seals_of(acme.pk))
    cut_end(owner, acme.pk, above=last - 2)
    assert found() == [("end_missing", acme.pk, last)]


def test_truncated_end_without_heads_is_found_by_counter_and_export(sealed_log, owner, acme):
    sign_heads()
    kept = list(last_heads())
    last = len(seals_of(acme.pk))
    cut_end(owner, acme.pk, above=last - 2)
    owner.execute("DELETE FROM tenants_audithead WHERE chain = %s", [acme.pk])
    assert ("end_missing", acme.pk, last) in found()
    owner.execute("DELETE FROM tenants_auditcounter WHERE chain = %s", [acme.pk])
    assert ("counter_differs", acme.pk, last - 2) in found()
    assert found(verify_chains(heads=kept)) == [("end_missing", acme.pk, last)]


def test_deleted_chain_is_found_by_its_counter_and_exported_heads(sealed_log, owner, globex):
    sign_heads()
    kept = list(last_heads())
    last = len(seals_of(globex.pk))
    cut_end(owner, globex.pk, above=0)
    owner.execute("DELETE FROM tenants_audithead WHERE chain = %s", [globex.pk])
    assert found() == [("end_missing", globex.pk, last), ("heads_missing", globex.pk, last)]
    owner.execute("DELETE FROM tenants_auditcounter WHERE chain = %s", [globex.pk])
    assert found() == []
    assert found(verify_chains(heads=kept)) == [("end_missing", globex.pk, last)]


def test_inserted_entry_is_found(sealed_log, owner, acme):
    owner.execute("ALTER TABLE tenants_auditlogentry DISABLE TRIGGER queue_for_seal")
    owner.execute(
        "INSERT INTO tenants_auditlogentry (id, tenant_id, actor_kind, actor_id, actor_label, action, target_type,"
        " target_id, reason, request_id) VALUES (gen_random_uuid(), %s, 'user', '', '', 'forged', 'x', '', '', '')",
        [acme.pk],
    )
    (finding,) = verify_chains().findings
    assert (finding.kind, finding.chain, finding.sequence) == ("entry_inserted", acme.pk, None)


@pytest.mark.parametrize(("one", "other"), [(4, 5), (3, 7), (1, 2)])
def test_reordered_seals_are_found(sealed_log, owner, acme, one, other):
    owner.execute(
        "UPDATE tenants_auditseal SET sequence = CASE sequence WHEN %s THEN %s ELSE %s END"
        " WHERE chain = %s AND sequence IN (%s, %s)",
        [one, other, one, acme.pk, one, other],
    )
    assert found() == [("order_changed", acme.pk, one), ("order_changed", acme.pk, other)]


@pytest.mark.parametrize("column", ["entry_hash", "hash"])
def test_altered_seal_is_found(sealed_log, owner, acme, column):
    last = len(seals_of(acme.pk))
    owner.execute(
        f"UPDATE tenants_auditseal SET {column} = repeat('a', 64) WHERE chain = %s AND sequence = %s", [acme.pk, last]
    )
    kinds = [kind for kind, _, _ in found()]
    assert "seal_altered" in kinds
    assert set(kinds) <= {"seal_altered", "entry_edited"}


def test_rehashed_seal_breaks_the_link_after_it(sealed_log, owner, acme):
    seal = seals_of(acme.pk)[4]
    link = Link(acme.pk, 5, seal.entry_hash, seal.previous_hash, datetime.now(UTC))
    owner.execute(
        "UPDATE tenants_auditseal SET sealed_at = %s, hash = %s WHERE entry_id = %s",
        [link.sealed_at, link.hash(), seal.entry_id],
    )
    assert found() == [("link_broken", acme.pk, 6)]


def test_fork_by_a_repeated_sequence_is_found(sealed_log, owner, acme):
    owner.execute(
        "INSERT INTO tenants_auditseal SELECT gen_random_uuid(), chain, sequence, entry_hash, previous_hash,"
        " repeat('b', 64), sealed_at FROM tenants_auditseal WHERE chain = %s AND sequence = 5",
        [acme.pk],
    )
    assert found() == [("fork", acme.pk, 5)]


def test_fork_by_a_repeated_previous_hash_is_found(sealed_log, owner, acme):
    last = seals_of(acme.pk)[-1]
    link = Link(acme.pk, last.sequence + 1, last.entry_hash, last.previous_hash, last.sealed_at)
    owner.execute(
        "INSERT INTO tenants_auditseal (entry_id, chain, sequence, entry_hash, previous_hash, hash, sealed_at)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s, %s)",
        [acme.pk, link.sequence, link.entry_hash, link.previous_hash, link.hash(), link.sealed_at],
    )
    assert found() == [("fork", acme.pk, link.sequence)]


def test_rehashed_chain_is_found_by_its_signed_heads(sealed_log, owner, acme):
    sign_heads()
    kept = list(last_heads())
    last = len(seals_of(acme.pk))
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE id = %s", [seals_of(acme.pk)[2].entry_id])
    rehash(owner, acme.pk)
    assert found() == [("head_differs", acme.pk, last)]
    owner.execute("DELETE FROM tenants_audithead WHERE chain = %s", [acme.pk])
    assert found() == [("counter_differs", acme.pk, last), ("heads_missing", acme.pk, last)]
    assert found(verify_chains(heads=kept)) == [("head_differs", acme.pk, last)]


def test_removed_entry_in_a_rehashed_chain_is_found(sealed_log, owner, acme):
    sign_heads()
    last = len(seals_of(acme.pk))
    cut = seals_of(acme.pk)[2].entry_id
    owner.execute("DELETE FROM tenants_auditlogentry WHERE id = %s", [cut])
    owner.execute("DELETE FROM tenants_auditseal WHERE entry_id = %s", [cut])
    rehash(owner, acme.pk)
    assert found() == [("end_missing", acme.pk, last)]


@pytest.mark.parametrize("change", ["hash = repeat('c', 64)", "sequence = sequence - 1", "signature = 'AAAA'"])
def test_forged_head_is_found(sealed_log, owner, acme, change):
    sign_heads()
    owner.execute(f"UPDATE tenants_audithead SET {change} WHERE chain = %s", [acme.pk])
    assert [(kind, chain) for kind, chain, _ in found()] == [("head_forged", acme.pk)]


def test_head_is_not_accepted_as_a_checkpoint(sealed_log, owner, acme):
    """Find a removed beginning that is explained by a signed head."""
    sign_heads()
    act(acme, 11)
    seal_entries()
    head = len(seals_of(acme.pk)) - 1
    where = "WHERE chain = %s AND sequence <= %s"
    owner.execute(
        f"DELETE FROM tenants_auditlogentry WHERE id IN (SELECT entry_id FROM tenants_auditseal {where})",
        [acme.pk, head],
    )
    owner.execute(f"DELETE FROM tenants_auditseal {where}", [acme.pk, head])
    owner.execute("UPDATE tenants_audithead SET kind = 'checkpoint' WHERE chain = %s", [acme.pk])
    assert {kind for kind, _, _ in found()} == {"head_forged", "seals_missing"}


def test_head_of_an_unknown_key_is_found(sealed_log, change_platform_settings, acme):
    sign_heads()
    change_platform_settings(AUDIT_SIGNING_KEY="A" * 43 + "=")
    assert {kind for kind, _, _ in found()} == {"head_key_unknown"}


def test_old_heads_stay_valid_when_the_key_changes(sealed_log, change_platform_settings, acme):
    from tenants.audit.signing import public_key_text

    sign_heads()
    old = public_key_text()
    change_platform_settings(AUDIT_SIGNING_KEY="A" * 43 + "=")
    change_platform_settings(AUDIT_PUBLIC_KEYS=[old])
    act(acme, 12)
    seal_entries()
    sign_heads()
    with all_tenants():
        assert AuditHead.objects.values("key_id").distinct().count() == 2
    assert found() == []


def test_verification_continues_after_any_batch_with_the_same_findings(sealed_log, owner, acme, monkeypatch):
    sign_heads()
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE id = %s", [seals_of(acme.pk)[4].entry_id])
    monkeypatch.setattr(audit_verification, "BATCH_SEALS", 2)
    monkeypatch.setattr(audit_verification, "BATCH_ENTRIES", 3)
    parts, after = [], None
    while True:
        part = verify_chains(deadline=time.monotonic(), after=after)
        parts.append(part)
        after = part.next
        if after is None:
            break
    assert len(parts) > 10
    assert [found for part in parts for found in found_in(part)] == [("entry_edited", acme.pk, 5)]
    with all_tenants():
        assert sum(part.seals for part in parts) == AuditSeal.objects.count()
    assert sum(part.heads for part in parts) == 3


def found_in(outcome) -> list[tuple]:
    return [(finding.kind, finding.chain, finding.sequence) for finding in outcome.findings]


def test_cursor_of_another_chain_or_invalid_one_is_refused(sealed_log, acme, globex):
    part = verify_chains(tenant=globex, deadline=time.monotonic())
    assert part.next is not None
    for after in (part.next, "{}", "nonsense"):
        with pytest.raises(CursorInvalidError):
            verify_chains(tenant=acme, after=after)


def test_verification_of_one_tenant_covers_only_its_chain(sealed_log, owner, acme, globex):
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE tenant_id = %s", [globex.pk])
    outcome = verify_chains(tenant=acme)
    assert (found(outcome), outcome.chains) == ([], 1)
    assert {chain for _, chain, _ in found(verify_chains(tenant=globex))} == {globex.pk}


def test_erased_chain_is_no_finding_while_its_final_head_is_valid(sealed_log, owner, acme):
    sign_heads()
    kept = list(last_heads())
    last = len(seals_of(acme.pk))
    erase_chain(acme.pk)
    assert seals_of(acme.pk) == []
    assert found(verify_chains(heads=kept)) == []
    # A later entry continues from the final head.
    act(acme, 20)
    seal_entries()
    assert [seal.sequence for seal in seals_of(acme.pk)] == [last + 1]
    assert found(verify_chains(heads=kept)) == []
    # The same final head, forged without the key.
    owner.execute(
        "UPDATE tenants_auditcounter SET final_head = jsonb_set(final_head, '{sequence}', '99') WHERE chain = %s",
        [acme.pk],
    )
    assert {kind for kind, _, _ in found(verify_chains(heads=kept))} >= {"head_forged", "seals_missing"}
    owner.execute("UPDATE tenants_auditcounter SET final_head = NULL")
    assert "seals_missing" in {kind for kind, _, _ in found(verify_chains(heads=kept))}


def test_verify_audit_compares_exported_heads(sealed_log, owner, acme, tmp_path):
    out, file = StringIO(), tmp_path / "heads.jsonl"
    sign_heads()
    call_command("export_audit_heads", out=file, stderr=StringIO())
    call_command("verify", "audit", heads=file, stdout=out)
    assert "audit: 3 chains" in out.getvalue()
    assert "1 checks, 0 findings." in out.getvalue()
    seal = seals_of(acme.pk)[4]
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE id = %s", [seal.entry_id])
    out = StringIO()
    with pytest.raises(CommandError, match="1 faults were found"):
        call_command("verify", "audit", tenant="acme", json=True, stdout=out)
    facts = json.loads(out.getvalue())
    assert (facts["is_clean"], facts["counts"]["audit"]["chains"]) == (False, 1)
    (finding,) = facts["findings"]
    assert (finding["code"], finding["tenant"], finding["number"]) == ("audit_chain", str(acme.pk), 1)
    assert finding["examples"][0].startswith(f"Chain {acme.pk}, seal 5, entry {seal.entry_id}: entry_edited.")


def test_verify_audit_finds_a_deleted_chain_by_exported_heads(sealed_log, owner, globex, tmp_path):
    out, file = StringIO(), tmp_path / "heads.jsonl"
    sign_heads()
    call_command("export_audit_heads", out=file, stderr=StringIO())
    cut_end(owner, globex.pk, above=0)
    owner.execute("DELETE FROM tenants_audithead WHERE chain = %s", [globex.pk])
    owner.execute("DELETE FROM tenants_auditcounter WHERE chain = %s", [globex.pk])
    call_command("verify", "audit", stdout=StringIO())  # raises if a chain is broken
    with pytest.raises(CommandError, match="1 faults were found"):
        call_command("verify", "audit", heads=file, stdout=out)
    assert f"Chain {globex.pk}" in out.getvalue()
    assert "end_missing" in out.getvalue()


def test_export_appends_only_changed_heads(sealed_log, acme, tmp_path):
    file = tmp_path / "heads.jsonl"
    sign_heads()
    for _ in range(2):
        call_command("export_audit_heads", out=file, stderr=StringIO())
    assert len(file.read_text().splitlines()) == 3
    act(acme, 13)
    seal_entries()
    sign_heads()
    call_command("export_audit_heads", out=file, stderr=StringIO())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 4
    assert lines[-1]["chain"] == str(acme.pk)


def test_incomplete_line_of_a_killed_export_is_written_again(sealed_log, tmp_path):
    file = tmp_path / "heads.jsonl"
    sign_heads()
    call_command("export_audit_heads", out=file, stderr=StringIO())
    whole = file.read_text()
    file.write_text(whole[:-20])
    sign_heads()
    call_command("export_audit_heads", out=file, stderr=StringIO())
    assert sorted(file.read_text().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"chain": 1}'])
def test_file_without_heads_is_refused_with_its_line(sealed_log, tmp_path, line):
    file = tmp_path / "heads.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(CommandError, match="line 1"):
        call_command("verify", "audit", heads=file)


def test_platforms_chain_is_verified(sealed_log, owner):
    seal = seals_of(PLATFORM_CHAIN)[0]
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE id = %s", [seal.entry_id])
    assert found() == [("entry_edited", PLATFORM_CHAIN, 1)]
