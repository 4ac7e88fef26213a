"""Attacks on the audit log with the login of the application."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from psycopg.types.json import Jsonb

from tenants.audit.verification import verify_chains
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.database.conf import auditor_role, platform_role
from tenants.database.locks import LockClass
from tenants.models import AuditPending, AuditRemoval, AuditSeal
from tests.auditing import audit_once, seal_entries
from tests.security.audit_login import FUNCTIONS, HEAD_KINDS, AppLogin, forged_entry, rewrite_history
from tests.security.table import Attack
from tests.security.world import World

DENIED = "InsufficientPrivilege, then intact"
OUT_OF_BOUNDS = "CheckViolation, then intact"
LARGE = Jsonb({"n": "x" * 100_000})
_SEAL = (
    "INSERT INTO tenants_auditseal (entry_id, chain, sequence, entry_hash, previous_hash, hash, sealed_at)"
    " SELECT gen_random_uuid(), chain, 99, hash, hash, hash, now() FROM tenants_auditseal LIMIT 1"
)
_REMOVAL = (
    "INSERT INTO tenants_auditremoval (id, chain, kind, before, done_at, removed)"
    " VALUES (gen_random_uuid(), %s, %s, now() + interval '9 days', %s, %s)"
)


def with_login(act: Callable[[AppLogin], str]) -> Callable[[World], str]:
    """Return an attack with the application's login on a sealed log, and the state of the log afterwards."""

    def run(world: World) -> str:
        with closing(AppLogin(world.zeta)) as login:
            outcome = act(login)
            return f"{outcome}, then {login.outcome()}"

    return run


def statement(name: str, text: str, *, role: str | None = "platform", refusal: str = DENIED) -> Attack:
    """Return the row of one statement, as the login itself (None) or after SET ROLE."""
    return Attack(
        name=f"audit log: {name} as {'the login' if role is None else 'the platform role'}",
        sends=text,
        refusal=refusal,
        run=with_login(lambda login: login.attempt(text, role=platform_role() if role else None)),
        committed=True,
    )


def append_false_entry(login: AppLogin) -> str:
    return login.attempt(*forged_entry(tenant_id=login.victim.pk))


def append_poison(login: AppLogin) -> str:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    outcome = login.attempt(*forged_entry(tenant_id=login.victim.pk, after=Jsonb({"n": deep})))
    seal_entries()
    with all_tenants():
        assert not AuditPending.objects.exists()
    return outcome


def claim_place_in_queue(login: AppLogin) -> str:
    """Queue the id first, so that the entry of that id cannot be queued."""
    entry_id = uuid4()
    queue = "INSERT INTO tenants_auditpending (entry_id, tenant_id) VALUES (%s, %s)"
    return login.attempt(queue, [entry_id, login.victim.pk])


def insert_entry_again(login: AppLogin) -> str:
    with all_tenants():
        first = AuditSeal.objects.filter(chain=login.victim.pk).order_by("sequence").values_list("entry_id").first()
    assert first is not None
    return login.attempt(*forged_entry(tenant_id=login.victim.pk, id=first[0]))


def request_erasure_by_row(login: AppLogin) -> str:
    """Request an erasure without the services; the auditor deletes invalid requests, so nothing waits behind them."""
    login.attempt(*forged_entry(action="tenant.erasure_requested", after=Jsonb({"subject_id": str(login.victim.pk)})))
    outcome = login.attempt(_REMOVAL, [login.victim.pk, "erasure", None, "{}"], role=platform_role())
    audit_once()
    with all_tenants():
        assert not AuditRemoval.objects.exists()
    return outcome


def request_retention_by_row(login: AppLogin) -> str:
    return login.attempt(_REMOVAL, [login.victim.pk, "retention", None, "{}"], role=platform_role())


def request_all_as_if_later(login: AppLogin) -> str:
    """Request the removal of everything, and run the auditor when the log is 200 days old."""
    outcome = login.attempt(_REMOVAL, [login.victim.pk, "retention", None, "{}"], role=platform_role())
    later = read_moment() + timedelta(days=200)
    with patch("tenants.audit.removals.read_moment", lambda: later):
        audit_once()
    return outcome


def request_erasures_of_unknown_chains(login: AppLogin) -> str:
    """Insert requests for chains without entries, so many that a real one is not found among them."""
    many = (
        "INSERT INTO tenants_auditremoval (id, chain, kind, before, removed)"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'erasure', now(), '{}' FROM generate_series(1, 1000)"
    )
    return login.attempt(many, role=platform_role())


def request_before_all_others(login: AppLogin) -> str:
    early = (
        "INSERT INTO tenants_auditremoval (id, chain, kind, before, removed, requested_at)"
        " VALUES (gen_random_uuid(), %s, 'erasure', now(), '{}', '2001-01-01')"
    )
    return login.attempt(early, [login.victim.pk], role=platform_role())


def request_before_infinity(login: AppLogin) -> str:
    endless = _REMOVAL.replace("now() + interval '9 days'", "'infinity'")
    return login.attempt(endless, [login.victim.pk, "retention", None, "{}"], role=platform_role())


def append_boundless(**columns: Any) -> Callable[[AppLogin], str]:
    """Return an attack that appends an entry that no auditor can read, or not within its memory."""
    return lambda login: login.attempt(*forged_entry(tenant_id=login.victim.pk, **columns))


def claim_removal_is_done(login: AppLogin) -> str:
    values = [login.victim.pk, "erasure", read_moment() + timedelta(days=1), '{"tenants_auditseal": 7}']
    outcome = login.attempt(_REMOVAL, values, role=platform_role())
    with all_tenants():
        assert not AuditRemoval.objects.exists()
    return outcome


def hold_the_lock(login: AppLogin) -> str:
    """Hold the auditors' lock, so that no entry is sealed; the backlog is reported, and sealed afterwards."""
    login.attempt(*forged_entry(tenant_id=login.victim.pk))
    with login.session.transaction():
        login.session.execute(f"SELECT {LockClass.SEALING.take()}")
        audit_once()
        kinds = {finding.kind for finding in verify_chains(grace_seconds=0).findings}
    return ", ".join(sorted(kinds))


def review_attack(login: AppLogin) -> str:
    return ", ".join(sorted(set(rewrite_history(login))))


def acts(name: str, sends: str, refusal: str, act: Callable[[AppLogin], str]) -> Attack:
    return Attack(name=f"audit log: {name}", sends=sends, refusal=refusal, run=with_login(act), committed=True)


ATTACKS: tuple[Attack, ...] = (
    acts(
        "history of a tenant rewritten",
        "a bogus final head, DELETE of entries, seals and heads, INSERT of seals by the documented formula",
        DENIED,
        review_attack,
    ),
    *(
        statement(f"{verb.lower()} {table}", f"{verb} {table}", role=role)
        for table in ("tenants_auditlogentry", "tenants_auditseal", "tenants_audithead", "tenants_auditpending")
        for verb in ("DELETE FROM", "TRUNCATE")
        for role in ("platform", None)
    ),
    statement("entry updated", "UPDATE tenants_auditlogentry SET reason = 'x'"),
    statement("seal updated", "UPDATE tenants_auditseal SET sequence = 1"),
    statement("seal forged", _SEAL),
    *(
        statement(
            f"{kind} head forged",
            "INSERT INTO tenants_audithead (id, chain, kind, sequence, hash, signed_at, key_id, signature) SELECT"
            f" gen_random_uuid(), chain, '{kind}', 99, hash, now(), 'bogus', 'bogus' FROM tenants_audithead LIMIT 1",
        )
        for kind in HEAD_KINDS
    ),
    statement("counter lowered", "UPDATE tenants_auditcounter SET sequence = 0"),
    statement("counter deleted", "DELETE FROM tenants_auditcounter"),
    statement("counter inserted", "INSERT INTO tenants_auditcounter SELECT * FROM tenants_auditcounter"),
    statement("trigger disabled", "ALTER TABLE tenants_auditlogentry DISABLE TRIGGER queue_for_seal"),
    statement("table dropped", "DROP TABLE tenants_auditseal"),
    statement("triggers bypassed", "SET session_replication_role = replica"),
    statement("auditor impersonated", f"SET ROLE {auditor_role()}", role=None),
    *(statement(f"{name} dropped", f"DROP FUNCTION public.{name}() CASCADE") for name in FUNCTIONS),
    acts("place in the queue claimed", "INSERT INTO tenants_auditpending", DENIED, claim_place_in_queue),
    acts("sealed entry inserted again", "INSERT of its id", "UniqueViolation, then intact", insert_entry_again),
    acts("false entry appended", "INSERT INTO tenants_auditlogentry", "1 rows, then intact", append_false_entry),
    acts("sealer stopped by nested JSON", "900 levels of JSON", "1 rows, then intact", append_poison),
    acts("erasure requested by a row", "a forged request and entry", "1 rows, then intact", request_erasure_by_row),
    acts("retention requested for the future", "a forged request", "1 rows, then intact", request_retention_by_row),
    acts("retention of everything requested", "a forged request", "1 rows, then intact", request_all_as_if_later),
    acts("request hidden among many", "1,000 forged requests", DENIED, request_erasures_of_unknown_chains),
    acts("request put before all others", "a forged request of 2001", DENIED, request_before_all_others),
    acts("auditor stopped by a request", "before = infinity", OUT_OF_BOUNDS, request_before_infinity),
    acts("sealer stopped by a date", "at = infinity", OUT_OF_BOUNDS, append_boundless(at="infinity")),
    acts("sealer stopped by a date BC", "at = 44 BC", OUT_OF_BOUNDS, append_boundless(at="0044-03-15 BC")),
    *(
        acts(f"sealer stopped by a large {name}", "100 KB of JSON", OUT_OF_BOUNDS, append_boundless(**{name: LARGE}))
        for name in ("before", "after")
    ),
    acts("removal claimed to be done", "a request that is done", DENIED, claim_removal_is_done),
    acts("sealing held up", LockClass.SEALING.take(), "entry_unsealed, then intact", hold_the_lock),
)
