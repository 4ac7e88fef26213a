"""Stored files with encryption on: nothing is in plain in the storage, and older files are read as they are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.file_seal import sealed_size
from tenants.models import Tenant, TenantDataKey
from tests.integration.tenants.encryption.test_encryption import master
from tests.platform_settings import ChangePlatformSettings
from workloads.files.cache import file_cache
from workloads.files.contents import StoredFileError
from workloads.files.store import read_bytes, store_bytes, store_file, write_ahead

MARKER = b"a-word-used-nowhere-else"
MIB = 1024 * 1024

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 2 * MIB + 5])
def test_file_is_stored_sealed_and_read(acme: Tenant, files_root: Path, size: int) -> None:
    data = (MARKER * (size // len(MARKER) + 1))[:size]
    stored = store_bytes(acme.pk, data)
    on_disk = (files_root / stored.key).read_bytes()
    assert MARKER not in on_disk
    assert len(on_disk) == sealed_size(size)
    forget_keys()
    assert read_bytes(stored.key, stored.sha256) == data
    assert store_bytes(acme.pk, data) == stored
    assert (files_root / stored.key).read_bytes() == on_disk


def test_file_from_before_is_read(
    acme: Tenant, files_root: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    stored = store_bytes(acme.pk, MARKER)
    assert (files_root / stored.key).read_bytes() == MARKER
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    assert read_bytes(stored.key, stored.sha256) == MARKER


def test_file_written_ahead_is_sealed(acme: Tenant, files_root: Path) -> None:
    write_ahead(acme.pk, io.BytesIO(MARKER))
    (path,) = (path for path in files_root.rglob("*") if path.is_file())
    assert MARKER not in path.read_bytes()
    stored = store_file(acme.pk, io.BytesIO(MARKER))
    assert read_bytes(stored.key, stored.sha256) == MARKER


@pytest.mark.parametrize("left", ["its own size", "a header", "all but a byte"])
def test_sealed_file_that_is_cut_off_is_refused_and_written_again(acme: Tenant, files_root: Path, left: str) -> None:
    data = MARKER * 10
    stored = store_bytes(acme.pk, data)
    path = files_root / stored.key
    whole = path.read_bytes()
    path.write_bytes(whole[: {"its own size": len(data), "a header": 92, "all but a byte": len(whole) - 1}[left]])
    with pytest.raises(StoredFileError):
        read_bytes(stored.key, stored.sha256)
    store_bytes(acme.pk, data)
    assert read_bytes(stored.key, stored.sha256) == data


def test_sealed_file_of_another_name_is_refused(acme: Tenant, files_root: Path) -> None:
    one, other = store_bytes(acme.pk, MARKER), store_bytes(acme.pk, MARKER[::-1])
    (files_root / one.key).write_bytes((files_root / other.key).read_bytes())
    with pytest.raises(StoredFileError, match="altered"):
        read_bytes(one.key, one.sha256)


def test_file_without_its_key_is_refused_until_the_key_is_back(
    acme: Tenant, files_root: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    stored = store_bytes(acme.pk, MARKER)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    forget_keys()
    with pytest.raises(StoredFileError, match="lacks the master key"):
        read_bytes(stored.key, stored.sha256)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    assert read_bytes(stored.key, stored.sha256) == MARKER
    with all_tenants():
        TenantDataKey.objects.filter(tenant=acme).delete()
    forget_keys()
    with pytest.raises(StoredFileError, match="does not belong"):
        read_bytes(stored.key, stored.sha256)


def test_plain_copies_are_not_cached_on_disk(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(FILE_CACHE_DIR=str(tmp_path))
    assert file_cache() is None
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    assert file_cache() is not None
