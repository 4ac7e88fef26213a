"""Restore of one tenant from a backup into the running platform."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from scheduling.backups.exceptions import BackupNotFoundError, TenantNotRestorableError
from scheduling.backups.service import make_backup
from scheduling.backups.target import Target
from scheduling.backups.tenant_restore import find_backup, restore_tenant
from scheduling.consistency.verification import verify
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.access.api_keys import revoke_api_key
from tenants.audit.auditor import auditor_login
from tenants.audit.sealing import seal_entries
from tenants.context import all_tenants, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Tenant
from tenants.tenancy.service import create_tenant, reinstate_tenant, suspend_tenant
from tests.keys import issue_api_key
from workloads.files.store import store_bytes

pytestmark = pytest.mark.django_db(transaction=True)


def _job(tenant: Tenant, number: int) -> Job:
    return submit_job(tenant=tenant, request=JobRequest("noop", {"n": number})).job


def test_restored_tenant_has_the_rows_and_files_of_the_backup_and_others_keep_theirs(
    acme: Tenant, globex: Tenant, target: Target
) -> None:
    kept, stored = _job(acme, 1), store_bytes(acme.pk, b"needed again")
    other = store_bytes(globex.pk, b"of another")
    manifest = make_backup(target)
    later, theirs = _job(acme, 2), _job(globex, 3)
    with tenant_context(acme):
        cancel_job(job_id=kept.pk)
    for one in (stored, other):
        default_storage.delete(one.key)
    suspend_tenant(tenant=acme, reason="a mistake")

    _, files = restore_tenant(target, manifest, "acme", reason="undo it")

    assert (files, default_storage.exists(stored.key), default_storage.exists(other.key)) == (1, True, False)
    with all_tenants():
        assert set(Job.objects.values_list("pk", flat=True)) == {kept.pk, theirs.pk}
        assert later.pk not in Job.objects.values_list("pk", flat=True)
        assert Job.objects.get(pk=kept.pk).state == "available"
        entry = AuditLogEntry.objects.get(action="tenant.restored", tenant=acme)
        assert entry.after is not None
        assert entry.after["backup"] == manifest.name
        assert entry.after["age_seconds"] >= 0
        assert AuditLogEntry.objects.filter(action="tenant.suspended", tenant=acme).exists()
    with auditor_login():
        seal_entries()
    reinstate_tenant(tenant=acme, reason="restored")
    report = verify(["audit", "jobs", "ledger", "counters", "executions", "history"], tenant=acme)
    assert [str(finding) for finding in report.findings.values()] == []


def test_revoked_key_stays_revoked(acme: Tenant, target: Target) -> None:
    key = issue_api_key(tenant=acme, name="x").key
    manifest = make_backup(target)
    revoke_api_key(api_key=key)
    suspend_tenant(tenant=acme, reason="x")
    restore_tenant(target, manifest, "acme", reason="x")
    with all_tenants():
        assert ApiKey.objects.get(pk=key.pk).revoked_at is not None


def test_active_tenant_is_not_restored(acme: Tenant, target: Target) -> None:
    manifest = make_backup(target)
    with pytest.raises(TenantNotRestorableError, match="Suspend"):
        restore_tenant(target, manifest, "acme", reason="x")


def test_backup_without_the_tenant_is_refused(acme: Tenant, target: Target) -> None:
    manifest = make_backup(target)
    suspend_tenant(tenant=create_tenant(slug="late", name="Late", plan="team"), reason="x")
    with pytest.raises(TenantNotRestorableError, match="lacks"):
        restore_tenant(target, manifest, "late", reason="x")


def test_newest_backup_before_the_time_is_found(acme: Tenant, target: Target) -> None:
    first, second = make_backup(target), make_backup(target)
    assert find_backup(target, second.taken_at) == second
    assert find_backup(target, second.taken_at - timedelta(microseconds=1)) == first
    with pytest.raises(BackupNotFoundError, match="at or before"):
        find_backup(target, first.taken_at - timedelta(seconds=1))


def test_command_states_the_age_and_changes_nothing_in_a_dry_run(
    acme: Tenant, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_backup(target)
    at = (manifest.taken_at + timedelta(hours=2)).isoformat()
    words = ["acme", "--at", at, "--from", target.address]
    with pytest.raises(CommandError, match="Suspend"):
        call_command("restore_tenant", *words)
    suspend_tenant(tenant=acme, reason="x")
    _ = capsys.readouterr()
    call_command("restore_tenant", *words, "--dry-run")
    assert f"{manifest.name}, taken 2:00:00 before" in capsys.readouterr().out
    call_command("restore_tenant", *words, "--reason", "x")
    assert "is restored" in capsys.readouterr().out
