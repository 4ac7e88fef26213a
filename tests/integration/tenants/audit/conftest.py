"""Sealed logs, and a connection with rights that no role of the application has: the owner of the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.models import AuditLogEntry, AuditSeal, Tenant
from tests.auditing import seal_entries
from tests.databases import TestDatabase, connect_as_owner

LOG_TABLES = (
    "tenants_auditlogentry",
    "tenants_auditseal",
    "tenants_audithead",
    "tenants_auditpending",
    "tenants_auditcounter",
)


def act(tenant: Tenant | None, number: int) -> AuditLogEntry:
    """Perform one audited act, of a tenant or of the platform."""
    actor = Actor(kind="user", id="7", label="alice", request_id=f"r-{number}")
    scope = all_tenants() if tenant is None else tenant_context(tenant)
    with scope, acting_as(actor):
        return record_audit(
            action="probe.done",
            target=AuditTarget("tests.probe", str(number)),
            before={"n": number - 1},
            after={"n": number, "words": "größer ≥ 1\n"},
            reason=f"reason {number}",
        )


def seals_of(chain: Any) -> list[AuditSeal]:
    with all_tenants():
        return list(AuditSeal.objects.filter(chain=chain).order_by("sequence", "entry_id"))


@pytest.fixture
def owner(transactional_db: None, django_db_setup: TestDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Yield the owner's connection without forced policies and the unique sequence, which are restored afterwards."""
    with connect_as_owner(django_db_setup.name) as connection:
        for table in LOG_TABLES:
            connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        connection.execute("ALTER TABLE tenants_auditseal DROP CONSTRAINT audit_seal_sequence_unique")
        try:
            yield connection
        finally:
            connection.execute(
                "TRUNCATE tenants_auditseal, tenants_audithead, tenants_auditpending, tenants_auditcounter"
            )
            connection.execute(
                "ALTER TABLE tenants_auditseal ADD CONSTRAINT audit_seal_sequence_unique UNIQUE (chain, sequence)"
            )
            connection.execute("ALTER TABLE tenants_auditlogentry ENABLE TRIGGER queue_for_seal")
            for table in LOG_TABLES:
                connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


@pytest.fixture
def sealed_log(transactional_db: None, acme: Tenant, globex: Tenant) -> Callable[[], None]:
    """Perform ten acts of acme and some of others, all sealed."""
    for number in range(1, 11):
        act(acme, number)
    act(globex, 1)
    act(None, 1)
    seal_entries(budget_seconds=60)
    assert len(seals_of(acme.pk)) >= 10
    assert seals_of(PLATFORM_CHAIN)
    return lambda: None
