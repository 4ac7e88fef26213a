"""Erasure of a tenant with rows in every table: nothing of it remains, and no other tenant is affected."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.dispatch import broker
from scheduling.exceptions import BrokerAwayError
from tenants.context import all_tenants
from tenants.erasure import steps
from tenants.erasure.catalog import count_rows
from tenants.erasure.erasers import count_outside, find_erasers
from tenants.erasure.proof import find_erasure, hash_proof, verify_erasure
from tenants.erasure.requests import cancel_erasure, hash_slug, request_erasure
from tenants.erasure.steps import advance, due_erasures
from tenants.exceptions import ErasureOpenError, ErasureRefusedError, ReasonRequiredError
from tenants.models import AuditLogEntry, ErasureStatus, Tenant, TenantErasure
from tenants.tenancy.service import create_tenant, reinstate_tenant, suspend_tenant
from tests.auditing import advance_erasure, audit_once, auditing, seal_entries
from tests.checks import faults_of
from tests.integration.tenants.erasure.filling import checksums, fill, fill_the_rest, mentions
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.service import create_dataset

pytestmark = pytest.mark.django_db(transaction=True)


class KilledError(Exception):
    """The process dies here."""


@pytest.fixture
def no_grace(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ERASURE_GRACE_SECONDS=0)


@pytest.fixture
def files(tmp_path: Any, settings: Any) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"]}}
    settings.STORAGES["default"]["OPTIONS"] = {**settings.STORAGES["default"].get("OPTIONS", {}), "location": tmp_path}


def asked(tenant: Tenant) -> TenantErasure:
    """Request the erasure of a tenant, suspended for it."""
    suspend_tenant(tenant=tenant, reason="contract ended")
    return request_erasure(tenant=tenant, reason="contract ended", confirm=tenant.slug)


def run_to_the_end(erasure: TenantErasure, **options: int) -> TenantErasure:
    for _ in range(1_000):
        if not advance_erasure(erasure.pk, **options):
            break
    return find_erasure(erasure_id=erasure.pk)


def test_erasure_removes_every_row_of_the_tenant_and_none_of_another(
    acme: Tenant, globex: Tenant, no_grace: None, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(acme)
    fill(globex)
    fill_the_rest(acme)
    suspend_tenant(tenant=acme, reason="contract ended")  # an entry that is not sealed yet
    with all_tenants():
        before = count_rows(acme.pk)
    assert {table for table, number in before.items() if not number} == set(), "fill() has no row for these tables"
    others, ledger = checksums(globex), faults_of("ledger")
    assert others["files:files"] == others["scheduling:keys"] == "1"
    erasure = asked(acme)
    seen, save = set(), TenantErasure.save

    def die(self: TenantErasure, *args: Any, **kwargs: Any) -> None:
        raise KilledError

    for _ in range(1_000):
        # Each part is done, killed before it is recorded, and done again.
        with monkeypatch.context() as patch:
            patch.setattr(TenantErasure, "save", die)
            with pytest.raises(KilledError):
                advance(erasure.pk, most=2)
        assert TenantErasure.save is save
        seen.add(find_erasure(erasure_id=erasure.pk).step)
        with all_tenants():
            TenantLive.cancelled(acme)
        audit_once()
        if not advance(erasure.pk, most=2) and not find_erasure(erasure_id=erasure.pk).is_open:
            break
    erasure = find_erasure(erasure_id=erasure.pk)
    assert erasure.status == ErasureStatus.COMPLETED, erasure.note
    assert {steps.COUNT, steps.ROWS, steps.PROVE, *(label for label, _ in find_erasers())} <= seen | {steps.COUNT}
    with all_tenants():
        assert mentions(acme.pk) == []
        assert set(count_outside(acme.pk).values()) == {0}
        assert not Tenant.objects.filter(pk=acme.pk).exists()
        assert User.objects.filter(username="member-of-acme").exists()  # accounts belong to the platform
    assert checksums(globex) == others
    # Rows made by their columns do not balance; only those of the erased tenant must be gone.
    assert faults_of("ledger") == [fault for fault in ledger if fault.tenant_id != acme.pk]
    assert verify_erasure(erasure_id=erasure.pk).is_good


class TenantLive:
    """A stand-in for workers: running jobs of a tenant stop on request."""

    @staticmethod
    def cancelled(tenant: Tenant) -> None:
        from scheduling.models import LiveExecution

        LiveExecution.objects.filter(tenant_id=tenant.pk, cancel_requested_at__isnull=False).delete()


def test_proof_contains_actor_reason_and_counts_and_is_hashed(acme: Tenant, no_grace: None) -> None:
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
    call_command("verify", "audit")  # raises if a chain is broken
    with all_tenants():
        TenantErasure.objects.filter(pk=erasure.pk).update(proof=erasure.proof | {"reason": "another"})
    assert not verify_erasure(erasure_id=erasure.pk).is_good


def test_verify_erasures_finds_planted_row_and_altered_proof(acme: Tenant, no_grace: None, files: None) -> None:
    erasure = run_to_the_end(asked(acme))
    assert faults_of("erasures") == []
    default_storage.save(f"{acme.pk}/aa/left", SimpleUploadedFile("x", b"x"))
    with all_tenants():
        TenantErasure.objects.filter(pk=erasure.pk).update(proof=(erasure.proof or {}) | {"reason": "another"})
    left, proof = faults_of("erasures")
    assert (left.code, left.tenant_id, left.example) == (
        "erasure_left",
        acme.pk,
        f"erasure {erasure.pk} files:files (1)",
    )
    assert (proof.code, proof.tenant_id) == ("erasure_proof", acme.pk)
    with pytest.raises(CommandError, match="2 faults were found"):
        call_command("verify", "erasures", stdout=io.StringIO())


def test_recount_finds_restored_rows(acme: Tenant, no_grace: None, files: None) -> None:
    erasure = run_to_the_end(asked(acme))
    default_storage.save(f"{acme.pk}/aa/left", SimpleUploadedFile("x", b"x"))
    assert verify_erasure(erasure_id=erasure.pk).left == {"files:files": 1}


def test_erasure_needs_a_suspended_tenant_its_slug_and_a_reason(acme: Tenant) -> None:
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


def test_erasure_in_its_grace_period_can_be_cancelled(acme: Tenant) -> None:
    erasure = asked(acme)
    assert due_erasures() == []
    assert not advance(erasure.pk)
    cancelled = cancel_erasure(erasure_id=erasure.pk, reason="a mistake")
    assert cancelled.status == ErasureStatus.CANCELLED
    assert not advance(erasure.pk)
    reinstate_tenant(tenant=acme)
    with all_tenants():
        assert Tenant.objects.filter(pk=acme.pk).exists()


def test_begun_erasure_cannot_be_cancelled(acme: Tenant, no_grace: None) -> None:
    erasure = asked(acme)
    assert due_erasures() == [erasure.pk]
    advance(erasure.pk)
    with pytest.raises(ErasureRefusedError):
        cancel_erasure(erasure_id=erasure.pk, reason="too late")


def test_commands_erase_and_verify(no_grace: None, db: None) -> None:
    tenant = create_tenant(slug="initech", plan="team")
    arguments = ("erase_tenant", "initech", "--reason", "contract ended", "--json")
    with pytest.raises(CommandError, match="suspend"):
        call_command(*arguments, "--confirm", "initech")
    suspend_tenant(tenant=tenant, reason="contract ended")
    out = io.StringIO()
    with auditing():
        call_command(*arguments, "--confirm", "initech", "--wait", stdout=out)
    printed = json.loads(out.getvalue())
    assert printed["status"] == "completed"
    assert hash_proof(printed["proof"]) == printed["proof_sha256"]
    out = io.StringIO()
    call_command("verify", "erasures", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert (report["is_clean"], report["counts"]) == (True, {"erasures": {"erasures": 1}})


@pytest.fixture
def without_broker(change_platform_settings: ChangePlatformSettings) -> Iterator[Callable[[], None]]:
    """Return a function that makes the broker unreachable."""

    def leave() -> None:
        change_platform_settings(REDIS_URL="redis://127.0.0.1:1/0")
        broker.client.cache_clear()

    yield leave
    broker.client.cache_clear()


def test_erasure_waits_for_an_unreachable_broker(
    acme: Tenant, no_grace: None, files: None, without_broker: Callable[[], None]
) -> None:
    erasure = asked(acme)
    assert advance(erasure.pk)  # count the rows
    without_broker()
    for _ in range(5):
        advance(erasure.pk)
    erasure = find_erasure(erasure_id=erasure.pk)
    assert erasure.is_open
    assert "Waits for the broker" in erasure.note


def test_recount_without_the_broker_is_refused(
    acme: Tenant, no_grace: None, files: None, client: Client, staff: User, without_broker: Callable[[], None]
) -> None:
    erasure = run_to_the_end(asked(acme))
    without_broker()
    with pytest.raises(BrokerAwayError):
        verify_erasure(erasure_id=erasure.pk)
    (fault,) = faults_of("erasures")
    assert (fault.code, fault.tenant_id) == ("not_proved", acme.pk)
    client.force_login(staff)
    page = client.post(reverse("admin:tenants_tenanterasure_act", args=[erasure.pk, "verify"]), follow=True)
    assert page.status_code == 200
    assert "The broker does not respond; try again later" in page.content.decode()
