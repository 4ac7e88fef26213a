"""Files in S3: the rules of the folder storage, on an S3 server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from jobsplatform.settings.files import S3, S3_OPTIONS
from scheduling.upkeep.runs import run_upkeep
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.aws_server import aws_server, url_of
from workloads.files import upkeep
from workloads.files.contents import StoredFileError
from workloads.files.erasure import ERASER
from workloads.files.models import Content
from workloads.files.service import upload_files
from workloads.files.store import discard_unused, fetch, read_bytes, store_bytes

pytestmark = pytest.mark.django_db
BUCKET = "jobs"
REGION = "us-east-1"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with aws_server() as server:
        yield url_of(server)


@pytest.fixture(autouse=True)
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("s3", endpoint_url=s3_server, region_name=REGION)
    client.create_bucket(Bucket=BUCKET)
    place = {"bucket_name": BUCKET, "region_name": REGION, "endpoint_url": s3_server, "location": "files"}
    storages = {
        "default": {"BACKEND": S3, "OPTIONS": S3_OPTIONS | place},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    with override_settings(STORAGES=storages):
        yield BUCKET
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for stored in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=stored["Key"])
    client.delete_bucket(Bucket=BUCKET)


def test_content_is_stored_once_and_read_back(acme: Tenant) -> None:
    first, second = store_bytes(acme.pk, b"some text"), store_bytes(acme.pk, b"some text")

    assert first == second
    assert read_bytes(first.key, first.sha256) == b"some text"
    assert default_storage.listdir(f"{acme.pk}/{first.sha256[:2]}")[1] == [first.sha256]


def test_large_content_is_sent_in_parts_and_read_back(acme: Tenant, s3_server: str) -> None:
    data = bytes(range(256)) * (9 * 4096)
    content = store_bytes(acme.pk, data)
    client = boto3.client("s3", endpoint_url=s3_server, region_name=REGION)
    # The tag of an object that was sent in parts ends with their number.
    assert client.head_object(Bucket=BUCKET, Key=f"files/{content.key}")["ETag"].endswith('-2"')
    assert read_bytes(content.key, content.sha256) == data


def test_files_of_one_upload_are_stored_in_threads(acme: Tenant) -> None:
    files = [SimpleUploadedFile(f"{number}.txt", str(number).encode()) for number in range(20)]
    rows = upload_files(tenant=acme, files=files)
    assert [read_bytes(row.key, row.sha256) for row in rows] == [str(number).encode() for number in range(20)]
    assert ERASER.erase(acme.pk, 100).removed == {"files": 20}
    assert ERASER.count(acme.pk) == {"files": 0}


def test_changed_and_missing_objects_are_not_returned(acme: Tenant) -> None:
    content = store_bytes(acme.pk, b"some text")
    default_storage.delete(content.key)
    default_storage.save(content.key, ContentFile(b"another"))
    with pytest.raises(StoredFileError, match="differs from the uploaded one"):
        fetch(content.key, content.sha256)
    default_storage.delete(content.key)
    with pytest.raises(StoredFileError, match="cannot be read"):
        fetch(content.key, content.sha256)


def test_missing_bucket_is_a_transient_error(acme: Tenant, s3_server: str) -> None:
    content = store_bytes(acme.pk, b"some text")
    client = boto3.client("s3", endpoint_url=s3_server, region_name=REGION)
    client.delete_object(Bucket=BUCKET, Key=f"files/{content.key}")
    client.delete_bucket(Bucket=BUCKET)
    try:
        with pytest.raises(StoredFileError, match="cannot be read"):
            fetch(content.key, content.sha256)
    finally:
        client.create_bucket(Bucket=BUCKET)


def test_content_without_reference_is_deleted_after_its_hold(acme: Tenant) -> None:
    content = store_bytes(acme.pk, b"some text")
    assert not discard_unused(acme.pk, content.key)  # held for an hour
    with tenant_context(acme):
        Content.objects.update(held_until=Content.objects.get().held_until - timedelta(hours=2))
    assert discard_unused(acme.pk, content.key)
    assert not default_storage.exists(content.key)


def test_upload_is_kept_and_erasure_deletes_its_object(acme: Tenant, globex: Tenant) -> None:
    upload_files(tenant=acme, files=[SimpleUploadedFile("a.txt", b"of acme")])
    upload_files(tenant=globex, files=[SimpleUploadedFile("a.txt", b"of globex")])

    assert ERASER.count(acme.pk) == {"files": 1}
    assert ERASER.erase(acme.pk, 10).removed == {"files": 1}
    assert (ERASER.count(acme.pk), ERASER.count(globex.pk)) == ({"files": 0}, {"files": 1})


def test_sweep_removes_orphans_and_reports_missing_objects(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, lost = store_bytes(acme.pk, b"kept"), store_bytes(acme.pk, b"lost")
    default_storage.delete(lost.key)
    orphan = f"{acme.pk}/aa/{uuid4().hex}"
    default_storage.save(orphan, ContentFile(b"x"))
    monkeypatch.setattr(upkeep, "GRACE", timedelta(0))

    run = run_upkeep(name="orphan_files")

    assert (run.outcome, run.counts["files_removed"], len(run.sentences)) == ("failed", 1, 1)
    assert [default_storage.exists(key) for key in (kept.key, lost.key, orphan)] == [True, False, False]
