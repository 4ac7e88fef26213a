"""Sealing: every committed entry gets one place in its tenant's chain, in commit order, by any sealer."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest
from django.db import connection, transaction

from scheduling.dispatch.duties import DUTIES
from scheduling.fleet.auditors import find_auditor_fault
from scheduling.upkeep import auditor
from tenants.audit.chain import GENESIS, PLATFORM_CHAIN
from tenants.audit.chain_queries import read_seal_backlog
from tenants.audit.sealing import TURN_ENTRIES
from tenants.context import all_tenants, tenant_context
from tenants.database.locks import LockClass
from tenants.models import AuditHead, AuditLogEntry, AuditPending, AuditSeal
from tests.acceptance.processes import eventually
from tests.auditing import auditing, seal_entries
from tests.databases import connect_as_owner
from tests.integration.tenants.audit.conftest import act, seals_of

pytestmark = pytest.mark.django_db(transaction=True)


def sha256(value: dict) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def when(moment) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def recompute(entry: AuditLogEntry, seal: AuditSeal) -> tuple[str, str]:
    """Compute both hashes by docs/concepts/audit.md alone, without the product's code."""
    entry_hash = sha256(
        {
            "id": str(entry.pk),
            "tenant": None if entry.tenant_id is None else str(entry.tenant_id),
            "at": when(entry.at),
            "actor_kind": entry.actor_kind,
            "actor_id": entry.actor_id,
            "actor_label": entry.actor_label,
            "action": entry.action,
            "target_type": entry.target_type,
            "target_id": entry.target_id,
            "before": entry.before,
            "after": entry.after,
            "reason": entry.reason,
            "request_id": entry.request_id,
        }
    )
    seal_hash = sha256(
        {
            "chain": str(seal.chain),
            "sequence": seal.sequence,
            "entry_hash": seal.entry_hash,
            "previous_hash": seal.previous_hash,
            "sealed_at": when(seal.sealed_at),
            "version": 1,
        }
    )
    return entry_hash, seal_hash


def test_chain_can_be_computed_from_the_documentation(sealed_log, acme):
    for chain in (acme.pk, PLATFORM_CHAIN):
        previous = GENESIS
        for sequence, seal in enumerate(seals_of(chain), start=1):
            with all_tenants():
                entry = AuditLogEntry.objects.get(pk=seal.entry_id)
            assert recompute(entry, seal) == (seal.entry_hash, seal.hash)
            assert (seal.sequence, seal.previous_hash) == (sequence, previous)
            previous = seal.hash


def test_every_committed_entry_is_sealed(sealed_log):
    with all_tenants():
        assert AuditSeal.objects.count() == AuditLogEntry.objects.count()
        assert AuditPending.objects.count() == 0
    assert seal_entries() == 0


def test_entry_written_without_the_services_is_queued(acme):
    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_auditlogentry (id, tenant_id, actor_kind, actor_id, actor_label, action, target_type,"
            " target_id, reason, request_id) VALUES (gen_random_uuid(), %s, 'user', '', '', 'raw', 'x', '', '', '')",
            [acme.pk],
        )
    seal_entries()
    with all_tenants():
        assert AuditSeal.objects.filter(entry__action="raw", chain=acme.pk).count() == 1


@pytest.mark.parametrize("number", ["1e5000", "1.5e400", "0.1", "-12"])
def test_numbers_of_any_size_are_sealed(acme, number):
    from tenants.audit.verification import verify_chains

    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_auditlogentry (id, tenant_id, actor_kind, actor_id, actor_label, action, target_type,"
            " target_id, reason, request_id, after) VALUES (gen_random_uuid(), %s, 'user', '', '', 'raw', 'x', '', '',"
            " '', %s)",
            [acme.pk, f'{{"n": {number}}}'],
        )
    assert seal_entries() > 0
    assert verify_chains(tenant=acme).findings == []


def test_auditor_seals_within_a_second_and_no_dispatcher_does(acme):
    assert "seal" not in {duty.name for duty in DUTIES}
    assert auditor.SEAL_SECONDS + auditor.LOOK_SECONDS <= 0.5
    act(acme, 1)
    with auditing():
        eventually(is_sealed_and_signed, what="the entry is sealed and its chain signed")
    with all_tenants():
        assert find_auditor_fault() == ""


def is_sealed_and_signed() -> bool:
    with all_tenants():
        is_signed = AuditHead.objects.filter(sequence__gte=1).exists()
        return is_signed and AuditSeal.objects.filter(entry__action="probe.done").exists()


def test_rolled_back_entry_is_never_sealed(acme):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        act(acme, 1)
        raise ZeroDivisionError
    seal_entries()
    with all_tenants():
        assert not AuditSeal.objects.filter(entry__action="probe.done").exists()
        assert AuditPending.objects.count() == 0


def test_later_commit_gets_the_later_place(acme):
    begun, may_commit = threading.Event(), threading.Event()

    def commit_late() -> None:
        try:
            with transaction.atomic():
                act(acme, 1)
                begun.set()
                assert may_commit.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(commit_late)
        assert begun.wait(30)
        act(acme, 2)
        seal_entries()
        may_commit.set()
        late.result(30)
    seal_entries()
    with all_tenants():
        order = list(
            AuditSeal.objects.filter(entry__action="probe.done").order_by("sequence").values_list("entry__target_id")
        )
        # The later one has the smaller id, because it began earlier.
        assert order == [("2",), ("1",)]


def test_concurrent_sealers_and_writers_make_one_chain(acme, globex):
    def write(tenant, first: int) -> None:
        try:
            for number in range(first, first + 40):
                act(tenant, number)
        finally:
            connection.close()

    def seal(writing) -> None:
        try:
            while not all(writer.done() for writer in writing):
                seal_entries()
        finally:
            connection.close()

    with ThreadPoolExecutor(7) as pool:
        writing = [pool.submit(write, *job) for job in ((acme, 0), (acme, 100), (globex, 0), (None, 0))]
        sealing = [pool.submit(seal, writing) for _ in range(3)]
        for future in (*writing, *sealing):
            future.result(60)
    seal_entries()
    for chain in (acme.pk, globex.pk, PLATFORM_CHAIN):
        seals = seals_of(chain)
        assert [seal.sequence for seal in seals] == list(range(1, len(seals) + 1))
        assert [seal.previous_hash for seal in seals] == [GENESIS, *(seal.hash for seal in seals[:-1])]
    with all_tenants():
        assert AuditSeal.objects.filter(entry__action="probe.done").count() == 160


def test_sealer_does_nothing_during_another_sealers_turn(acme, django_db_setup):
    act(acme, 1)
    with connect_as_owner(django_db_setup.name) as other, other.transaction():
        other.execute(f"SELECT {LockClass.SEALING.take()}")
        assert seal_entries() == 0
    assert seal_entries() > 0


def test_turn_is_bounded_and_continues_while_there_is_more(acme):
    with tenant_context(acme):
        AuditLogEntry.objects.bulk_create(
            AuditLogEntry(tenant=acme, actor_kind="user", action="bulk", target_type="x", target_id=str(number))
            for number in range(TURN_ENTRIES + 100)
        )
    assert seal_entries(budget_seconds=0) == TURN_ENTRIES
    assert seal_entries(budget_seconds=60) >= 100
    with all_tenants():
        assert AuditPending.objects.count() == 0


def test_hundreds_of_chains_are_sealed_with_few_statements(plan_tenants, django_assert_max_num_queries):
    for number, tenant in enumerate(plan_tenants):
        act(tenant, number)
    # Two settings at each end of the transaction, lock and timeout, queue, heads, seals.
    with django_assert_max_num_queries(20):
        assert seal_entries(budget_seconds=0) >= 200
    assert {seal.sequence for tenant in plan_tenants for seal in seals_of(tenant.pk)} == {1}


@pytest.fixture
def plan_tenants(db):
    """Create 200 tenants, without their own audit entries."""
    from tenants.models import Plan, Tenant

    with all_tenants():
        plan = Plan.objects.get(slug="team")
        return [Tenant.objects.create(slug=f"t-{number}", name=f"T {number}", plan=plan) for number in range(200)]


def test_backlog_reports_number_and_age_of_waiting_entries(acme):
    seal_entries()
    with all_tenants():
        assert (read_seal_backlog().waiting, read_seal_backlog().oldest_seconds) == (0, 0.0)
    act(acme, 1)
    act(acme, 2)
    with all_tenants():
        backlog = read_seal_backlog()
    assert backlog.waiting == 2
    assert backlog.oldest_seconds > 0


def test_queue_row_forged_by_the_owner_seals_nothing_twice(sealed_log, acme, owner):
    (first, *_) = seals_of(acme.pk)
    before = len(seals_of(acme.pk))
    owner.execute(
        "INSERT INTO tenants_auditpending (entry_id, tenant_id) VALUES (%s, %s), (gen_random_uuid(), %s)",
        [first.entry_id, acme.pk, acme.pk],
    )
    assert seal_entries() == 0
    assert len(seals_of(acme.pk)) == before
    with all_tenants():
        assert AuditPending.objects.count() == 0
