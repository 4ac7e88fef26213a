"""Attempts on the audit log with the application's database login, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from psycopg import sql

from tenants.audit.chain import GENESIS, Link, hash_row
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants, tenant_context
from tenants.database.conf import APP_ALIAS, auditor_role, platform_role
from tenants.models import AuditLogEntry, AuditSeal, Tenant
from tests.auditing import audit_once, sign_heads
from tests.databases import connect_as_app

TABLES = {
    "tenants_auditlogentry": "id",
    "tenants_auditseal": "entry_id",
    "tenants_audithead": "id",
    "tenants_auditpending": "entry_id",
    "tenants_auditcounter": "chain",
}
FUNCTIONS = ("queue_audit_entries", "count_audit_seals", "count_audit_head")
ACTS = 6


class AppLogin:
    """Session of the application's login, and the log of a tenant that was sealed and signed before."""

    def __init__(self, victim: Tenant) -> None:
        self.victim = victim
        for number in range(ACTS):
            with tenant_context(victim):
                record_audit(action="probe.done", target=AuditTarget("tests.probe", str(number)), reason="as it was")
        audit_once()
        sign_heads()
        self.past = self.read_past()
        self.session = connect_as_app(settings.DATABASES[APP_ALIAS]["NAME"])

    def attempt(self, statement: str, values: Sequence[Any] = (), *, role: str | None = None) -> str:
        """Run a statement, as the login or as another role; return the error's name, or the number of rows."""
        try:
            with self.session.transaction():
                if role is not None:
                    self.session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                else:
                    self.session.execute("SELECT set_config('app.tenant_id', %s, true)", [str(self.victim.pk)])
                cursor = self.session.execute(statement, values or None)  # type: ignore[arg-type]
                return f"{cursor.rowcount} rows"
        except psycopg.Error as error:
            return type(error).__name__

    def read_past(self) -> list[tuple[Any, ...]]:
        """Return the sealed entries with their seals."""
        with all_tenants():
            seals = AuditSeal.objects.filter(chain=self.victim.pk).order_by("sequence")
            return list(
                seals.values_list("sequence", "hash", "entry__reason", "entry__action", "entry__actor_label")[
                    : ACTS + 1
                ]
            )

    def outcome(self) -> str:
        """Return "intact", "found" with the kinds of findings, or "rewritten unseen"."""
        audit_once()
        sign_heads()
        kinds = sorted({finding.kind for finding in verify_chains().findings})
        if kinds:
            return f"found: {', '.join(kinds)}"
        return "intact" if self.read_past() == self.past else "rewritten unseen"

    def close(self) -> None:
        self.session.close()


def statements(victim: UUID) -> list[tuple[str, str | None, str]]:
    """Return every kind of statement on the audit tables: a name, the role (None: the login's own), the statement."""
    found = []
    for role in (None, platform_role()):
        for table, key in TABLES.items():
            template = {
                "update": f"UPDATE {table} SET {key} = {key}",
                "delete": f"DELETE FROM {table}",
                "delete one": f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} LIMIT 1)",
                "truncate": f"TRUNCATE {table} CASCADE",
                "select for update": f"SELECT * FROM {table} FOR UPDATE",
                "merge": f"MERGE INTO {table} t USING {table} s ON t.{key} = s.{key} WHEN MATCHED THEN DELETE",
                "alter": f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
                "unforce": f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
                "triggers": f"ALTER TABLE {table} DISABLE TRIGGER ALL",
                "drop": f"DROP TABLE {table}",
                "own": f"ALTER TABLE {table} OWNER TO CURRENT_USER",
                "grant": f"GRANT ALL ON {table} TO CURRENT_USER",
                "policy": f"CREATE POLICY mine ON {table} USING (true)",
                "rule": f"CREATE RULE mine AS ON DELETE TO {table} DO INSTEAD NOTHING",
                "trigger": f"CREATE TRIGGER mine AFTER INSERT ON {table} EXECUTE FUNCTION count_audit_seals()",
                "select into": f"SELECT * INTO kept FROM {table}",
                "select into temp": f"SELECT * INTO TEMP kept FROM {table}",
                "partition": f"SELECT public.drop_partition('{table}')",
                "lock": f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
            }
            if table != "tenants_auditlogentry":
                template["insert"] = f"INSERT INTO {table} SELECT * FROM {table}"
                template["upsert"] = f"{template['insert']} ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key}"
            found += [(f"{name} {table}", role, statement) for name, statement in template.items()]
        for function in FUNCTIONS:
            found += [
                (f"call {function}", role, f"SELECT public.{function}()"),
                (f"replace {function}", role, f"DROP FUNCTION public.{function}()"),
                (f"alter {function}", role, f"ALTER FUNCTION public.{function}() SECURITY INVOKER"),
            ]
        found += [
            ("replica mode", role, "SET session_replication_role = replica"),
            ("row security off", role, "SET LOCAL row_security = off; DELETE FROM tenants_auditseal"),
            ("become the auditor", role, f"SET ROLE {auditor_role()}"),
            ("join the auditor", role, f"GRANT {auditor_role()} TO CURRENT_USER"),
            ("change the auditor's password", role, f"ALTER ROLE {auditor_role()} PASSWORD 'x'"),
            ("shadow the tables", role, "CREATE SCHEMA pg_temp_mine"),
        ]
        found += [(f"forge a {kind} head", role, _FORGED_HEAD.format(kind=kind, chain=victim)) for kind in HEAD_KINDS]
    return found


HEAD_KINDS = ("head", "checkpoint", "final")
_FORGED_HEAD = (
    "INSERT INTO tenants_audithead (id, chain, kind, sequence, hash, signed_at, key_id, signature)"
    " VALUES (gen_random_uuid(), '{chain}', '{kind}', 9, repeat('0', 64), now(), 'bogus', 'bogus')"
)


def rewrite_history(login: AppLogin) -> list[str]:
    """Run the whole attack: a forged final head, a complete deletion, and new entries by the documented formula."""
    chain, platform = login.victim.pk, platform_role()
    with all_tenants():
        entries = list(AuditLogEntry.objects.filter(tenant=login.victim).order_by("id").values())
        sealed_at = dict(AuditSeal.objects.filter(chain=chain).values_list("entry_id", "sealed_at"))
    outcomes = [login.attempt(_FORGED_HEAD.format(kind="final", chain=chain), role=platform)]
    for table, column in (
        ("tenants_auditlogentry", "tenant_id"),
        ("tenants_auditseal", "chain"),
        ("tenants_audithead", "chain"),
    ):
        outcomes.append(login.attempt(f"DELETE FROM {table} WHERE {column} = %s", [chain], role=platform))
    previous = GENESIS
    for sequence, entry in enumerate(entries[1:], start=1):
        forged = {**entry, "tenant": chain, "actor_label": "another", "before": None, "after": None}
        link = Link(chain, sequence, hash_row(forged), previous, sealed_at[entry["id"]])
        previous = link.hash()
        outcomes.append(
            login.attempt(
                "INSERT INTO tenants_auditseal (entry_id, chain, sequence, entry_hash, previous_hash, hash, sealed_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [entry["id"], chain, sequence, link.entry_hash, link.previous_hash, previous, link.sealed_at],
                role=platform,
            )
        )
    return outcomes


def forged_entry(**columns: Any) -> tuple[str, list[Any]]:
    """Return a statement, with its values, that appends an entry without the services."""
    values = {
        "id": uuid4(),
        "actor_kind": "user",
        "actor_id": "",
        "actor_label": "forged",
        "action": "forged",
        "target_type": "x",
        "target_id": "",
        "reason": "",
        "request_id": "",
        **columns,
    }
    marks = ", ".join(["%s"] * len(values))
    return f"INSERT INTO tenants_auditlogentry ({', '.join(values)}) VALUES ({marks})", list(values.values())
