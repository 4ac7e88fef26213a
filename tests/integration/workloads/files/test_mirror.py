"""Mirrored files: what another site's storage has is copied under the keys of this site's rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import override_settings

from jobsplatform.settings.files import S3, S3_OPTIONS
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys, sealing_key
from tenants.encryption.file_seal import sealed_size
from tenants.models import Tenant, TenantDataKey
from tests.aws_server import used_aws_server
from tests.integration.tenants.encryption.test_encryption import master
from tests.plain_values import plain_only
from tests.platform_settings import ChangePlatformSettings
from workloads.files import mirror as mirror_module
from workloads.files.contents import tenant_of
from workloads.files.exceptions import MirrorSourceError
from workloads.files.mirror import Mirror
from workloads.files.store import StoredContent, read_bytes, store_bytes

# Threads read and write files: keys must be committed to be cached for them.
pytestmark = pytest.mark.django_db(transaction=True)
TEXTS = (b"one", b"two", b"three", b"")


def mirror(source: object, *arguments: str) -> dict[str, object]:
    """Run the command; return its numbers, and whether it has succeeded."""
    out, status = StringIO(), 0
    try:
        call_command("mirror_files", f"--from={source}", "--json", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as end:
        status = int(str(end.code))
    return {**json.loads(out.getvalue()), "status": status}


def numbers(found: dict[str, object]) -> tuple[object, ...]:
    return tuple(found[name] for name in ("contents", "copied", "missing", "status"))


@pytest.fixture
def stored(acme: Tenant, globex: Tenant, files_root: Path) -> list[StoredContent]:
    """Return contents of two tenants, stored at the active site; both have the last one."""
    return [*(store_bytes(acme.pk, text) for text in TEXTS), store_bytes(globex.pk, TEXTS[-1])]


@pytest.fixture
def standby(stored: list[StoredContent], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Enter a site with a folder of its own, which is empty."""
    folder = tmp_path_factory.mktemp("standby")
    with override_settings(MEDIA_ROOT=folder):
        yield folder


def test_contents_of_all_tenants_are_copied_once(
    files_root: Path, stored: list[StoredContent], standby: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(SITE_ROLE="standby")
    found = mirror(files_root)
    assert numbers(found) == (5, 5, 0, 0)
    assert found["copied_bytes"] == sum(map(len, TEXTS))
    assert [read_bytes(each.key, each.sha256) for each in stored] == [*TEXTS, b""]
    assert numbers(mirror(files_root)) == (5, 0, 0, 0)


def test_dry_run_copies_nothing_and_fails_while_files_are_missing(files_root: Path, standby: Path) -> None:
    assert numbers(mirror(files_root, "--dry-run")) == (5, 5, 5, 1)
    assert list(standby.iterdir()) == []


def test_incomplete_copy_is_replaced(files_root: Path, stored: list[StoredContent], standby: Path) -> None:
    default_storage.save(stored[2].key, ContentFile(b"thr"))
    assert numbers(mirror(files_root)) == (5, 5, 0, 0)
    assert read_bytes(stored[2].key, stored[2].sha256) == b"three"


def test_missing_and_altered_files_are_named_and_not_copied(
    files_root: Path, stored: list[StoredContent], standby: Path
) -> None:
    (files_root / stored[0].key).unlink()
    (files_root / stored[1].key).write_bytes(b"twx")
    found = mirror(files_root)
    assert numbers(found) == (5, 3, 2, 1)
    faults = str(found["faults"])
    assert (stored[0].key in faults, f"{stored[1].key}: The file in the storage differs" in faults) == (True, True)
    assert not default_storage.exists(stored[1].key)


def test_source_that_is_not_there_is_an_error(standby: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"mirror_source: .*nowhere.*Mount the folder"):
        mirror(tmp_path / "nowhere")


def test_refusal_of_this_sites_storage_is_an_error(files_root: Path, standby: Path) -> None:
    with override_settings(MEDIA_ROOT="/proc/nowhere"), pytest.raises(CommandError, match="mirror_storage"):
        mirror(files_root)


def test_further_round_begins_at_the_first_missing_content(
    files_root: Path, stored: list[StoredContent], standby: Path, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "_MARGIN_MILLISECONDS", 0)
    monkeypatch.setattr(mirror_module, "_ROWS", 2)
    lost = files_root / stored[3].key
    lost.rename(lost.with_suffix(".away"))
    watched = Mirror(str(files_root))
    first = watched.run_round(lambda _text: None)
    assert (first.contents, first.copied, first.missing) == (5, 4, 1)
    lost.with_suffix(".away").rename(lost)
    second = watched.run_round(lambda _text: None)
    assert (second.contents, second.copied, second.missing) == (2, 1, 0)
    with override_settings(MEDIA_ROOT=files_root):
        store_bytes(acme.pk, b"new")
    third = watched.run_round(lambda _text: None)
    assert (third.copied, third.missing) == (1, 0)
    assert third.contents <= 3


def test_round_stops_between_pages_and_the_next_one_goes_on(
    files_root: Path, standby: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "_ROWS", 2)
    stopped = Mirror(str(files_root)).run_round(lambda _text: None, lambda: True)
    assert (stopped.contents, stopped.copied, stopped.is_whole) == (2, 2, False)
    assert numbers(mirror(files_root)) == (5, 3, 0, 0)


def test_progress_is_noted(files_root: Path, standby: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module, "_NOTE_SECONDS", 0.0)
    notes: list[str] = []
    Mirror(str(files_root)).run_round(notes.append)
    assert notes == ["5 of 5 contents: 5 copied, 0 missing."]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve the buckets of two sites."""
    with used_aws_server(monkeypatch):
        for bucket in ("north", "south"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield


def in_bucket(name: str) -> override_settings:
    """Return settings by which files are in a bucket."""
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    options = S3_OPTIONS | {"bucket_name": name, "location": "files"}
    return override_settings(STORAGES={"default": {"BACKEND": S3, "OPTIONS": options}, "staticfiles": static})


@pytest.mark.usefixtures("s3")
def test_contents_are_copied_between_buckets_and_a_folder(acme: Tenant, standby: Path) -> None:
    large = bytes(range(256)) * (9 * 4096)
    with in_bucket("north"):
        stored = [store_bytes(acme.pk, large), *(store_bytes(acme.pk, text) for text in TEXTS)]
    with in_bucket("south"):
        # The content of the other tenant is in no bucket.
        assert numbers(mirror("s3://north/files")) == (6, 5, 1, 1)
        assert [read_bytes(each.key, each.sha256) for each in stored] == [large, *TEXTS]
        assert numbers(mirror("s3://north/files")) == (6, 0, 1, 1)
    assert numbers(mirror("s3://south/files")) == (6, 5, 1, 1)
    assert read_bytes(stored[0].key, stored[0].sha256) == large
    with pytest.raises(MirrorSourceError, match="s3://nowhere"):
        Mirror("s3://nowhere/files").run_round(lambda _text: None)


@pytest.fixture
def own_keys() -> Iterator[None]:
    """Keep keys of one test from the others."""
    forget_keys()
    yield
    forget_keys()


@plain_only
@pytest.mark.usefixtures("own_keys")
def test_file_of_a_tenant_without_data_key_is_named_and_not_copied(
    acme: Tenant,
    globex: Tenant,
    files_root: Path,
    stored: list[StoredContent],
    standby: Path,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    sealing_key(globex.pk)
    found = mirror(files_root)
    assert numbers(found) == (5, 1, 4, 1)
    assert f"{stored[0].key}: The tenant has no data key. Run “manage.py encrypt_stored_values”" in str(found["faults"])
    with all_tenants():
        assert not TenantDataKey.objects.filter(tenant=acme).exists()
    assert default_storage.size(stored[4].key) == sealed_size(0)
    sealing_key(acme.pk)
    assert numbers(mirror(files_root)) == (5, 4, 0, 0)


@plain_only
@pytest.mark.usefixtures("own_keys")
def test_file_whose_data_key_cannot_be_read_is_named_and_not_copied(
    acme: Tenant,
    files_root: Path,
    stored: list[StoredContent],
    standby: Path,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    for tenant_id in {tenant_of(each.key) for each in stored}:
        sealing_key(tenant_id)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    found = mirror(files_root)
    assert numbers(found) == (5, 0, 5, 1)
    assert "The file cannot be encrypted: Data key" in str(found["faults"])
