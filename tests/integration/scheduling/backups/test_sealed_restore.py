"""Restored files are encrypted for the tenants whose data keys the restored rows have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, default_storage

from scheduling.backups.exceptions import RestoreKeyError
from scheduling.backups.manifest import Manifest
from scheduling.backups.restore import platform_database, restore_backup
from scheduling.backups.service import make_backup
from scheduling.backups.target import Target
from scheduling.backups.tenant_restore import restore_tenant
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.file_seal import opened_pieces, sealed_size
from tenants.encryption.service import replace_keys
from tenants.models import Tenant, TenantDataKey
from tenants.tenancy.service import suspend_tenant
from tests.integration.scheduling.backups.conftest import master_key
from tests.platform_settings import ChangePlatformSettings
from workloads.files.store import StoredContent, read_bytes, store_bytes

# Larger than a chunk, so that the copy is a stream.
TEXT = b"confidential words" * 100_000

pytestmark = pytest.mark.django_db(transaction=True)
NewDatabase = Callable[[], str]


@pytest.fixture(autouse=True)
def known_keys() -> Iterator[None]:
    """Keep keys of one test from the others."""
    forget_keys()
    yield
    forget_keys()


def restore(target: Target, manifest: Manifest, into: str, folder: Path) -> int:
    return restore_backup(target, manifest, into=into, storage=FileSystemStorage(str(folder)))


def read_restored(folder: Path, stored: StoredContent, tenant: Tenant) -> bytes:
    with (folder / stored.key).open("rb") as file:
        return b"".join(opened_pieces(file, tenant.pk, stored.key))


def drop_data_keys(tenant: Tenant) -> None:
    """Leave a tenant as one from before encryption was turned on."""
    with all_tenants():
        TenantDataKey.objects.filter(tenant=tenant).delete()
    forget_keys()


def test_files_in_a_new_database_are_encrypted_for_their_tenants(
    acme: Tenant, globex: Tenant, target: Target, new_database: NewDatabase, tmp_path: Path
) -> None:
    stored = {tenant: store_bytes(tenant.pk, TEXT) for tenant in (acme, globex)}
    manifest, into, folder = make_backup(target), new_database(), tmp_path / "files"
    # The restored database has the keys, and the running one has them no more.
    for tenant in stored:
        drop_data_keys(tenant)
    assert restore(target, manifest, into, folder) == 1
    sizes = {(folder / one.key).stat().st_size for one in stored.values()}
    assert sizes == {sealed_size(len(TEXT))}
    assert all(b"confidential" not in (folder / one.key).read_bytes() for one in stored.values())
    with platform_database(into), all_tenants():
        forget_keys()
        assert [read_restored(folder, one, tenant) for tenant, one in stored.items()] == [TEXT] * 2
    forget_keys()
    with all_tenants():
        assert TenantDataKey.objects.count() == 0


def test_repeated_restore_leaves_the_files_that_are_there(
    acme: Tenant, target: Target, new_database: NewDatabase, tmp_path: Path
) -> None:
    stored, folder = store_bytes(acme.pk, TEXT), tmp_path / "files"
    manifest = make_backup(target)
    restore(target, manifest, new_database(), folder)
    first = (folder / stored.key).read_bytes()
    restore(target, manifest, new_database(), folder)
    assert (folder / stored.key).read_bytes() == first


def test_files_of_a_tenant_without_data_keys_are_restored_in_plain(
    acme: Tenant,
    target: Target,
    new_database: NewDatabase,
    tmp_path: Path,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    stored, folder = store_bytes(acme.pk, TEXT), tmp_path / "files"
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("a")])
    drop_data_keys(acme)
    manifest, into = make_backup(target), new_database()
    restore(target, manifest, into, folder)
    assert (folder / stored.key).read_bytes() == TEXT
    with platform_database(into), all_tenants():
        assert TenantDataKey.objects.count() == 0


def test_restore_is_refused_if_a_data_key_cannot_be_read(
    acme: Tenant,
    target: Target,
    new_database: NewDatabase,
    tmp_path: Path,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    store_bytes(acme.pk, TEXT)
    # The data key stays under the old master key, and the backup is encrypted with the new one.
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("b"), master_key("a")])
    manifest, folder = make_backup(target), tmp_path / "files"
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("b")])
    with pytest.raises(RestoreKeyError, match=r"lacks the master key .*ENCRYPTION_MASTER_KEYS"):
        restore(target, manifest, new_database(), folder)
    assert not folder.exists()
    # A drill verifies the files and writes none.
    assert restore_backup(target, manifest, into=new_database(), storage=None) == 1


def test_restored_tenant_has_encrypted_files(acme: Tenant, target: Target) -> None:
    stored = store_bytes(acme.pk, TEXT)
    manifest = make_backup(target)
    replace_keys(tenant=acme)
    forget_keys()
    default_storage.delete(stored.key)
    suspend_tenant(tenant=acme, reason="x")
    restore_tenant(target, manifest, "acme", reason="x")
    assert default_storage.size(stored.key) == sealed_size(len(TEXT))
    assert read_bytes(stored.key, stored.sha256) == TEXT


def test_refused_restore_of_a_tenant_changes_nothing(
    acme: Tenant, target: Target, change_platform_settings: ChangePlatformSettings
) -> None:
    stored = store_bytes(acme.pk, TEXT)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("b"), master_key("a")])
    manifest = make_backup(target)
    later = submit_job(tenant=acme, request=JobRequest("noop", {})).job
    default_storage.delete(stored.key)
    suspend_tenant(tenant=acme, reason="x")
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("b")])
    with pytest.raises(RestoreKeyError, match=str(acme.pk)):
        restore_tenant(target, manifest, "acme", reason="x")
    assert not default_storage.exists(stored.key)
    with all_tenants():
        assert Job.objects.filter(pk=later.pk).exists()
