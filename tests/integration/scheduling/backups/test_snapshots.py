"""Signed snapshots of the states of open jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from scheduling.backups.exceptions import BackupDamagedError
from scheduling.backups.models import Backup
from scheduling.backups.state_snapshot import take_snapshot, verify_snapshot
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_snapshot_has_open_jobs_of_all_tenants_or_one(acme: Tenant, globex: Tenant, tmp_path: Path) -> None:
    jobs = []
    for tenant in (acme, globex):
        jobs.append(submit_job(tenant=tenant, request=JobRequest("noop")).job)
        with tenant_context(tenant):
            cancel_job(job_id=submit_job(tenant=tenant, request=JobRequest("noop")).job.pk)

    row = take_snapshot(tmp_path / "all", None)
    take_snapshot(tmp_path / "own", acme)

    lines = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [(line["job"], line["state"], line["execution"]) for line in lines[1:-1]] == [
        (str(job.pk), "available", None) for job in jobs
    ]
    assert (verify_snapshot(tmp_path / "all"), row.row_count, row.kind) == (2, 2, "snapshot")
    assert verify_snapshot(tmp_path / "own") == 1
    with all_tenants():
        assert Backup.objects.count() == 2
        assert AuditLogEntry.objects.filter(action="snapshot.taken", tenant=acme).count() == 1


@pytest.mark.parametrize("place", [5, -40])
def test_snapshot_with_one_flipped_byte_is_refused(acme: Tenant, tmp_path: Path, place: int) -> None:
    path = tmp_path / "all"
    take_snapshot(path, None)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupDamagedError):
        verify_snapshot(path)


def test_command_writes_and_never_replaces(acme: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "all")
    call_command("snapshot", path, "--dry-run")
    assert not Path(path).exists()
    call_command("snapshot", path)
    call_command("snapshot", path, "--verify")
    assert "is whole and signed: 0 jobs" in capsys.readouterr().out
    for arguments in ([path], [path, "--dry-run"]):
        with pytest.raises(CommandError, match="exists"):
            call_command("snapshot", *arguments)
