"""Backups to a folder and restores from it, on PostgreSQL with its own programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from psycopg import sql

from scheduling.backups.exceptions import (
    BackupBusyError,
    BackupDamagedError,
    BackupFileMissingError,
    BackupKeyError,
    BackupNotFoundError,
    BackupNotReadyError,
    BackupProgramError,
    BackupRowsDifferError,
    RestoreTargetExistsError,
)
from scheduling.backups.manifest import DATABASE_PART, FILES_PART, MANIFEST
from scheduling.backups.programs import count_dumped_rows
from scheduling.backups.restore import check_restore, platform_database, restore_backup
from scheduling.backups.service import make_backup
from scheduling.backups.snapshot import open_snapshot, reader_conninfo
from scheduling.backups.target import Target
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.databases import connect_as_owner
from tests.integration.scheduling.backups.conftest import master_key
from tests.platform_settings import ChangePlatformSettings
from workloads.files.store import store_bytes

pytestmark = pytest.mark.django_db(transaction=True)
NewDatabase = Callable[[], str]


def _folder(target: Target, name: str) -> Path:
    return Path(target.address) / name


def test_backup_restores_rows_files_and_the_audit_log(
    acme: Tenant, globex: Tenant, target: Target, new_database: NewDatabase, tmp_path: Path
) -> None:
    job = submit_job(tenant=acme, request=JobRequest("noop", {"n": 1})).job
    stored = [store_bytes(tenant.pk, b"the same bytes") for tenant in (acme, globex)]
    into, files = new_database(), tmp_path / "files"

    made = make_backup(target)
    manifest = check_restore(target, "", into=into)
    restored = restore_backup(target, manifest, into=into, storage=FileSystemStorage(str(files)))

    assert manifest == made
    assert made.tables["scheduling_job"] == 1
    assert made.tables["tenants_tenant"] == 2
    assert (made.files, restored) == (1, 1)
    assert all((files / one.key).is_file() for one in stored)
    with platform_database(into), all_tenants():
        assert Job.objects.get().pk == job.pk
        assert set(Tenant.objects.values_list("slug", flat=True)) == {"acme", "globex"}
        assert AuditLogEntry.objects.filter(action="backup.restored", target_id=made.name).count() == 1
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="backup.made", target_id=made.name).count() == 1


def test_backup_contains_nothing_in_plain(acme: Tenant, target: Target) -> None:
    store_bytes(acme.pk, b"confidential words")
    name = make_backup(target).name
    for part in (DATABASE_PART, FILES_PART):
        data = (_folder(target, name) / part).read_bytes()
        assert b"confidential" not in data
        assert b"acme" not in data


@pytest.mark.parametrize("part", [DATABASE_PART, FILES_PART, MANIFEST])
def test_backup_with_one_flipped_byte_is_refused(
    acme: Tenant, target: Target, new_database: NewDatabase, part: str
) -> None:
    path = _folder(target, make_backup(target).name) / part
    data = bytearray(path.read_bytes())
    # In the manifest a digit of a hash; in a part any byte.
    place = data.index(b'"sha256": "') + 11 if part == MANIFEST else len(data) // 2
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupDamagedError):
        check_restore(target, "", into=new_database())


def test_backup_with_a_missing_part_is_refused(acme: Tenant, target: Target, new_database: NewDatabase) -> None:
    (_folder(target, make_backup(target).name) / FILES_PART).unlink()
    with pytest.raises(BackupDamagedError, match="missing"):
        check_restore(target, "", into=new_database())


def test_backup_is_refused_without_its_master_key(
    acme: Tenant, target: Target, new_database: NewDatabase, change_platform_settings: ChangePlatformSettings
) -> None:
    make_backup(target)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("b")])
    with pytest.raises(BackupKeyError, match="ENCRYPTION_MASTER_KEYS"):
        check_restore(target, "", into=new_database())


def test_backup_signed_with_an_unknown_key_is_refused(
    acme: Tenant, target: Target, new_database: NewDatabase, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(AUDIT_SIGNING_KEY=master_key("s"))
    make_backup(target)
    change_platform_settings(AUDIT_SIGNING_KEY=master_key("t"))
    with pytest.raises(BackupKeyError, match="AUDIT_PUBLIC_KEYS"):
        check_restore(target, "", into=new_database())


def test_backup_under_another_name_is_refused(acme: Tenant, target: Target) -> None:
    name = make_backup(target).name
    _folder(target, name).rename(_folder(target, "20990101T000000Z-00000000"))
    with pytest.raises(BackupDamagedError):
        target.newest()


def test_rows_that_row_security_hides_are_an_error(
    acme: Tenant, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_without_tenants(*arguments: Any) -> dict[str, int]:
        return {**count_dumped_rows(*arguments), "tenants_tenant": 0}

    monkeypatch.setattr("scheduling.backups.service.count_dumped_rows", count_without_tenants)
    with pytest.raises(BackupRowsDifferError, match="tenants_tenant"):
        make_backup(target)
    assert target.names() == []
    assert list(Path(target.address).iterdir()) == []


def test_dump_by_a_login_that_row_security_restricts_fails(
    acme: Tenant, target: Target, change_platform_settings: ChangePlatformSettings, database_urls: dict[str, str]
) -> None:
    change_platform_settings(DATABASE_BACKUP_URL=database_urls["DATABASE_OWNER_URL"])
    with pytest.raises(BackupProgramError, match="row-level security"):
        make_backup(target)
    assert target.names() == []


@pytest.mark.parametrize(("version", "words"), [("", "missing"), ("17.2", "of PostgreSQL 17")])
def test_missing_or_older_program_is_an_error(
    acme: Tenant,
    target: Target,
    tmp_path: Path,
    change_platform_settings: ChangePlatformSettings,
    version: str,
    words: str,
) -> None:
    if version:
        for name in ("pg_dump", "pg_restore"):
            (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
            (tmp_path / name).chmod(0o755)
    change_platform_settings(POSTGRES_PROGRAMS=str(tmp_path))
    with psycopg.connect(reader_conninfo()) as connection:
        if version and connection.info.server_version < 180000:
            pytest.skip("the server is as old as the program")
    with pytest.raises(BackupProgramError, match=words):
        make_backup(target)


def test_backup_without_login_is_an_error(
    acme: Tenant, target: Target, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(DATABASE_BACKUP_URL="")
    with pytest.raises(BackupNotReadyError, match="DATABASE_BACKUP_URL"):
        make_backup(target)


def test_second_backup_at_once_is_refused(acme: Tenant, target: Target) -> None:
    with open_snapshot(), pytest.raises(BackupBusyError):
        make_backup(target)


def test_missing_stored_file_is_an_error(acme: Tenant, target: Target, settings: object) -> None:
    from django.core.files.storage import default_storage

    default_storage.delete(store_bytes(acme.pk, b"soon gone").key)
    with pytest.raises(BackupFileMissingError):
        make_backup(target)
    assert target.names() == []


def test_restore_refuses_to_replace_a_database(acme: Tenant, target: Target, new_database: NewDatabase) -> None:
    make_backup(target)
    with connect_as_owner("jobs") as owner:
        into = new_database()
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(into)))
    with pytest.raises(RestoreTargetExistsError):
        check_restore(target, "", into=into)


def test_restore_that_fails_leaves_no_database(
    acme: Tenant, target: Target, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, into = make_backup(target), new_database()
    monkeypatch.setattr("scheduling.backups.restore.count_rows", lambda *_: {})
    with pytest.raises(BackupRowsDifferError):
        restore_backup(target, manifest, into=into, storage=None)
    with connect_as_owner("jobs") as owner:
        assert owner.execute("SELECT FROM pg_database WHERE datname = %s", [into]).fetchone() is None


def test_commands_back_up_and_restore(
    acme: Tenant, target: Target, new_database: NewDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = new_database()
    call_command("backup", "--to", target.address, "--dry-run")
    assert target.names() == []
    capsys.readouterr()
    call_command("backup", "--to", target.address, "--json")
    made = json.loads(capsys.readouterr().out)
    assert target.names() == [made["name"]]
    call_command("restore", "--from", target.address, "--into", into, "--dry-run")
    call_command("restore", "--from", target.address, "--into", into, "--files", str(tmp_path / "files"), "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == made["rows"]
    with pytest.raises(CommandError, match="restore_target_exists"):
        call_command("restore", "--from", target.address, "--into", into)


def test_unknown_backup_is_not_found(target: Target, acme: Tenant) -> None:
    with pytest.raises(BackupNotFoundError):
        target.newest()
    with pytest.raises(BackupNotFoundError):
        target.read_manifest("20990101T000000Z-00000000")
