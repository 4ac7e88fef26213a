"""Backups in S3-compatible object storage: a real HTTP server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import pytest

from scheduling.backups.exceptions import BackupDamagedError, BackupTargetError
from scheduling.backups.manifest import DATABASE_PART
from scheduling.backups.restore import check_restore, restore_backup
from scheduling.backups.service import delete_backup, make_backup
from scheduling.backups.target import Target
from tenants.models import Tenant
from tests.aws_server import used_aws_server
from workloads.files.store import store_bytes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of an empty bucket of a server on loopback."""
    with used_aws_server(monkeypatch):
        boto3.client("s3").create_bucket(Bucket="backups")
        yield "backups"


def test_backup_in_object_storage_is_restored_and_deleted(
    acme: Tenant, bucket: str, new_database: Callable[[], str]
) -> None:
    store_bytes(acme.pk, b"some bytes")
    target, into = Target(f"s3://{bucket}/platform"), new_database()
    made = make_backup(target)
    manifest = check_restore(target, "", into=into)
    assert restore_backup(target, manifest, into=into, storage=None) == 1
    assert [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]] == [
        f"platform/{made.name}/{part}" for part in ("database.dump.enc", "files.tar.enc", "manifest.json")
    ]
    delete_backup(target, made.name)
    assert target.names() == []


def test_changed_or_missing_object_is_refused(acme: Tenant, bucket: str, new_database: Callable[[], str]) -> None:
    target, client = Target(f"s3://{bucket}/platform"), boto3.client("s3")
    key = f"platform/{make_backup(target).name}/{DATABASE_PART}"
    data = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[-1] ^= 1
    client.put_object(Bucket=bucket, Key=key, Body=bytes(data))
    with pytest.raises(BackupDamagedError, match="changed"):
        check_restore(target, "", into=new_database())
    client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(BackupDamagedError, match="missing"):
        check_restore(target, "", into=new_database())


def test_bucket_that_does_not_exist_is_an_error(acme: Tenant, bucket: str) -> None:
    with pytest.raises(BackupTargetError, match="nowhere"):
        make_backup(Target("s3://nowhere/x"))
