"""A tenant with something in every table is erased: nothing is left of it, and nothing of anybody else is touched."""

from __future__ import annotations

import io
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from scheduling.processors.document_indexing.uploads import upload_documents
from scheduling.processors.retrieval.services import create_dataset
from scheduling.services.ledger import verify_ledger
from tenants.context import all_tenants
from tenants.exceptions import ErasureOpenError, ErasureRefusedError, ReasonRequiredError
from tenants.models import AuditLogEntry, ErasureStatus, Role, Tenant, TenantErasure
from tenants.services.api_keys import issue_api_key
from tenants.services.erasure import steps
from tenants.services.erasure.catalog import count_rows, tenant_tables
from tenants.services.erasure.erasers import count_outside, find_erasers
from tenants.services.erasure.proof import find_erasure, hash_proof, verify_erasure
from tenants.services.erasure.requests import cancel_erasure, hash_slug, request_erasure
from tenants.services.erasure.steps import advance, due_erasures
from tenants.services.memberships import add_member
from tenants.services.sealing import seal_entries
from tenants.services.tenants import create_tenant, reinstate_tenant, suspend_tenant
from tests.integration.console.conftest import make_work

pytestmark = pytest.mark.django_db

_MISSING_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typname, f.confrelid::regclass::text,
    (SELECT attname FROM pg_attribute WHERE attrelid = f.confrelid AND attnum = f.confkey[array_length(f.confkey, 1)])
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN LATERAL (
    SELECT * FROM pg_constraint WHERE contype = 'f' AND conrelid = a.attrelid
      AND conkey[array_length(conkey, 1)] = a.attnum LIMIT 1
) f ON true
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND NOT a.atthasdef
  AND a.attnotnull
"""
PLAIN: dict[str, Any] = {
    "bool": False,
    "date": "2026-01-01",
    "jsonb": "{}",
    "timestamptz": "2026-01-01T00:00:00Z",
    "bytea": b"x",
    "interval": "1 s",
}
# Columns whose values a constraint names.
SPECIAL: dict[tuple[str, str], Any] = {}


class KilledError(Exception):
    """The process died here."""


def fill(tenant: Tenant) -> None:
    """Work, files and people by the services; whatever table is still without a row gets one by its columns."""
    make_work(tenant)
    dataset = create_dataset(tenant=tenant, name="handbook")
    upload_documents(tenant=tenant, dataset=dataset, files=[SimpleUploadedFile("a.txt", tenant.slug.encode())])
    add_member(tenant=tenant, user=User.objects.create_user(f"member-of-{tenant.slug}"), role=Role.OWNER)
    issue_api_key(tenant=tenant, name="spare")
    seal_entries()
    for _ in range(3):  # a row may refer to one that the first round makes
        fill_the_rest(tenant)
    redis.Redis.from_url(settings.REDIS_URL).set(f"jobsplatform:bucket:{tenant.pk}:submit", "1", ex=600)


def fill_the_rest(tenant: Tenant) -> None:
    """A row by its columns for each table that has none, also those that sealing and folding empty for everybody."""
    with all_tenants():
        counts = count_rows(tenant.pk)
        for table in reversed(tenant_tables()):
            if not counts[table.name]:
                insert_row(table.name, table.column, tenant.pk)


def insert_row(table: str, column: str, tenant_id: uuid.UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING_COLUMNS, [f"public.{table}"])
        columns = cursor.fetchall()
        values: dict[str, Any] = {}
        for name, kind, base, target, target_column in columns:
            if name == column:
                values[name] = tenant_id
            elif (table, name) in SPECIAL:
                values[name] = SPECIAL[table, name]
            elif target is not None:
                values[name] = reference(target, target_column, tenant_id)
            else:
                values[name] = plain(kind, base)
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def reference(table: str, column: str, tenant_id: uuid.UUID) -> Any:
    own = {known.name: known.column for known in tenant_tables()}
    where = f"WHERE {own[table]} = %s" if table in own else "WHERE %s::uuid IS NOT NULL"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} {where} LIMIT 1", [tenant_id])
        row = cursor.fetchone()
    assert row is not None, f"{table} has no row to refer to"
    return row[0]


def plain(kind: str, base: str) -> Any:
    if base == "uuid":
        return uuid.uuid4()
    if base in ("varchar", "text", "bpchar"):
        return "x"
    if base in ("int2", "int4", "int8", "numeric", "float8"):
        return 1
    if base == "vector":
        return "[" + ",".join(["0"] * int(kind.strip("vector()"))) + "]"
    if base == "tsvector":
        return ""
    if base.startswith("_"):
        return []
    return PLAIN[base]


def checksums(tenant: Tenant) -> dict[str, str]:
    sums = {}
    with all_tenants(), connection.cursor() as cursor:
        for table in tenant_tables():
            cursor.execute(
                f"SELECT count(*) || ':' || coalesce(md5(string_agg(x::text, '' ORDER BY x::text)), '')"
                f" FROM {table.name} x WHERE {table.column} = %s",
                [tenant.pk],
            )
            sums[table.name] = cursor.fetchone()[0]
        sums |= {name: str(number) for name, number in count_outside(tenant.pk).items()}
    return sums


@pytest.fixture
def no_grace(settings: Any) -> None:
    settings.ERASURE_GRACE_SECONDS = 0


@pytest.fixture
def files(tmp_path: Any, settings: Any) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"]}}
    settings.STORAGES["default"]["OPTIONS"] = {**settings.STORAGES["default"].get("OPTIONS", {}), "location": tmp_path}


def asked(tenant: Tenant) -> TenantErasure:
    """The erasure of a tenant that is suspended for it."""
    suspend_tenant(tenant=tenant, reason="contract ended")
    return request_erasure(tenant=tenant, reason="contract ended", confirm=tenant.slug)


def run_to_the_end(erasure: TenantErasure, **options: int) -> TenantErasure:
    for _ in range(1_000):
        if not advance(erasure.pk, **options):
            break
    return find_erasure(erasure_id=erasure.pk)


def test_every_table_has_a_row_and_then_none_and_another_tenant_keeps_all(
    acme: Tenant, globex: Tenant, no_grace: None, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(acme)
    fill(globex)
    fill_the_rest(acme)
    suspend_tenant(tenant=acme, reason="contract ended")  # an entry without its seal yet
    with all_tenants():
        before = count_rows(acme.pk)
    assert {table for table, number in before.items() if not number} == set(), "fill() has no row for these tables"
    others, ledger = checksums(globex), verify_ledger().balances
    assert others["retrieval:files"] == others["scheduling:keys"] == "1"
    erasure = asked(acme)
    seen, save = set(), TenantErasure.save

    def die(self: TenantErasure, *args: Any, **kwargs: Any) -> None:
        raise KilledError

    for _ in range(1_000):
        # Each part is done, killed before it is written down, and done again.
        with monkeypatch.context() as patch:
            patch.setattr(TenantErasure, "save", die)
            with pytest.raises(KilledError):
                advance(erasure.pk, most=2)
        assert TenantErasure.save is save
        seen.add(find_erasure(erasure_id=erasure.pk).step)
        with all_tenants():
            TenantLive.cancelled(acme)
        if not advance(erasure.pk, most=2) and not find_erasure(erasure_id=erasure.pk).is_open:
            break
    erasure = find_erasure(erasure_id=erasure.pk)
    assert erasure.status == ErasureStatus.COMPLETED, erasure.note
    assert {steps.COUNT, steps.ROWS, steps.PROVE, *(label for label, _ in find_erasers())} <= seen | {steps.COUNT}
    with all_tenants():
        assert {name for name, number in count_rows(acme.pk).items() if number} == set()
        assert set(count_outside(acme.pk).values()) == {0}
        assert not Tenant.objects.filter(pk=acme.pk).exists()
        assert User.objects.filter(username="member-of-acme").exists()  # accounts are the platform's
    assert checksums(globex) == others
    # Rows made by their columns do not balance; what matters is that only the erased tenant's are gone.
    assert verify_ledger().balances == [balance for balance in ledger if balance.tenant_id != acme.pk]
    assert verify_erasure(erasure_id=erasure.pk).is_good


class TenantLive:
    """What workers would do: running jobs of a tenant stop when they are asked to."""

    @staticmethod
    def cancelled(tenant: Tenant) -> None:
        from scheduling.models import LiveExecution

        LiveExecution.objects.filter(tenant_id=tenant.pk, cancel_requested_at__isnull=False).delete()


def test_the_proof_says_who_why_and_how_much_and_its_hash_is_of_it(acme: Tenant, no_grace: None) -> None:
    create_dataset(tenant=acme, name="handbook")
    erasure = run_to_the_end(asked(acme))
    assert erasure.proof is not None
    assert erasure.proof["counts"]["retrieval_dataset"] == {"before": 1, "removed": 1, "after": 0}
    assert erasure.proof["counts"]["tenants_tenant"] == {"before": 1, "removed": 1, "after": 0}
    assert erasure.proof["slug_sha256"] == hash_slug("acme")
    assert "acme" not in json.dumps(erasure.proof)
    assert hash_proof(erasure.proof) == erasure.proof_sha256
    with all_tenants():
        last = AuditLogEntry.objects.order_by("-id").first()
    assert last is not None
    assert (last.action, last.tenant_id) == ("tenant.erased", None)
    assert last.after is not None
    assert last.after["final_head"]["kind"] == "final"
    seal_entries()
    call_command("verify_audit")  # an error if a chain is broken
    with all_tenants():
        TenantErasure.objects.filter(pk=erasure.pk).update(proof=erasure.proof | {"reason": "another"})
    assert not verify_erasure(erasure_id=erasure.pk).is_good


def test_a_recount_finds_what_came_back(acme: Tenant, no_grace: None, files: None) -> None:
    erasure = run_to_the_end(asked(acme))
    default_storage.save(f"{acme.pk}/aa/left", SimpleUploadedFile("x", b"x"))
    assert verify_erasure(erasure_id=erasure.pk).left == {"retrieval:files": 1}


def test_only_a_suspended_tenant_by_its_slug_with_a_reason(acme: Tenant) -> None:
    with pytest.raises(ErasureRefusedError):
        request_erasure(tenant=acme, reason="x", confirm="acme")
    suspend_tenant(tenant=acme, reason="x", until=timezone.now() + timedelta(hours=1))
    with pytest.raises(ErasureRefusedError):
        request_erasure(tenant=acme, reason="x", confirm="Acme")
    with pytest.raises(ReasonRequiredError):
        request_erasure(tenant=acme, reason=" ", confirm="acme")
    request_erasure(tenant=acme, reason="x", confirm="acme")
    with all_tenants():
        acme.refresh_from_db()
    assert acme.suspended_until is None
    with pytest.raises(ErasureOpenError):
        request_erasure(tenant=acme, reason="x", confirm="acme")
    with pytest.raises(ErasureOpenError):
        reinstate_tenant(tenant=acme)


def test_in_the_period_of_grace_nothing_happens_and_it_can_be_cancelled(acme: Tenant) -> None:
    erasure = asked(acme)
    assert due_erasures() == []
    assert not advance(erasure.pk)
    cancelled = cancel_erasure(erasure_id=erasure.pk, reason="a mistake")
    assert cancelled.status == ErasureStatus.CANCELLED
    assert not advance(erasure.pk)
    reinstate_tenant(tenant=acme)
    with all_tenants():
        assert Tenant.objects.filter(pk=acme.pk).exists()


def test_what_has_begun_cannot_be_cancelled(acme: Tenant, no_grace: None) -> None:
    erasure = asked(acme)
    assert due_erasures() == [erasure.pk]
    advance(erasure.pk)
    with pytest.raises(ErasureRefusedError):
        cancel_erasure(erasure_id=erasure.pk, reason="too late")


def test_the_command_erases_and_the_other_recounts(no_grace: None, db: None) -> None:
    tenant = create_tenant(slug="initech", plan="team")
    arguments = ("erase_tenant", "initech", "--reason", "contract ended", "--json")
    with pytest.raises(CommandError, match="suspend"):
        call_command(*arguments, "--confirm", "initech")
    suspend_tenant(tenant=tenant, reason="contract ended")
    out = io.StringIO()
    call_command(*arguments, "--confirm", "initech", "--wait", stdout=out)
    printed = json.loads(out.getvalue())
    assert printed["status"] == "completed"
    assert hash_proof(printed["proof"]) == printed["proof_sha256"]
    out = io.StringIO()
    call_command("verify_erasure", printed["id"], "--json", stdout=out)
    assert json.loads(out.getvalue())["is_good"]
