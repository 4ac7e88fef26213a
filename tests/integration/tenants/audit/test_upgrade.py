"""Counters for chains that are older than the counters: of each its last seal, and of erased ones their final heads."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connections

from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.heads import last_heads
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants
from tenants.database.conf import OWNER_ALIAS
from tenants.models import AuditCounter, Tenant
from tests.auditing import erase_chain, seal_entries, sign_heads

pytestmark = pytest.mark.django_db(databases=["default", "owner"], transaction=True)
UPGRADE = import_module("tenants.migrations.0017_auditor")


def read_counters() -> list[Any]:
    with all_tenants():
        return list(AuditCounter.objects.order_by("chain").values_list("chain", "sequence", "hash", "signed_sequence"))


def fill(owner: psycopg.Connection[Any]) -> set[str]:
    """Fill the counters again as the migration does; return the locks that reading took."""
    owner.execute("DELETE FROM tenants_auditcounter")
    with connections[OWNER_ALIAS].schema_editor() as editor, editor.connection.cursor() as cursor:
        UPGRADE.fill_counters(None, editor)
        cursor.execute(
            "SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid()"
            " AND relation IN ('tenants_auditseal'::regclass, 'tenants_audithead'::regclass)"
        )
        return {mode for (mode,) in cursor.fetchall()}


def test_counters_of_all_chains_are_filled_while_others_write(
    sealed_log: Callable[[], None], owner: psycopg.Connection[Any]
) -> None:
    sign_heads()
    before = read_counters()
    assert len(before) > 2
    assert fill(owner) == {"AccessShareLock"}
    assert read_counters() == before


def test_chain_that_was_erased_before_is_no_finding_afterwards(
    sealed_log: Callable[[], None], owner: psycopg.Connection[Any], acme: Tenant
) -> None:
    sign_heads()
    kept = list(last_heads())
    erase_chain(acme.pk)
    with all_tenants():
        final_head = AuditCounter.objects.get(chain=acme.pk).final_head
        record_audit(
            action="tenant.erased", target=AuditTarget("tenants.tenanterasure", "7"), after={"final_head": final_head}
        )
        for number in ({"chain": "x"}, {"chain": str(uuid4()), "sequence": "1e9", "hash": ""}, "no head", None):
            record_audit(
                action="tenant.erased", target=AuditTarget("tenants.tenanterasure", "8"), after={"final_head": number}
            )
    seal_entries()
    fill(owner)
    assert verify_chains(heads=kept).findings == []
    assert {chain for chain, *_ in read_counters()} > {acme.pk, PLATFORM_CHAIN}
