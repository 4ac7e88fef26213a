"""The connector of buckets on a real S3 server: listing, signatures, and named errors."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.kit.base import PermanentError
from tenants.models import Tenant
from tenants.secrets.service import create_secret
from tests.integration.workloads.documents.sources.conftest import (
    BUCKET,
    bucket_source,
    documents_of,
    items_of,
    make_source,
    put,
    sync,
)
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer
from workloads.documents.models import Dataset
from workloads.documents.sources.connectors import s3
from workloads.documents.sources.exceptions import SourceInvalidError

pytestmark = pytest.mark.django_db


def test_prefix_and_suffixes_choose_objects(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_MD="Beta.", c_csv="x,y")
    bucket.put_object(Bucket=BUCKET, Key="docs/folder/", Body=b"")
    source = bucket_source(dataset, s3_server, config={"suffixes": [".txt", ".md"]})
    assert sync(source).counts["listed"] == 2
    assert set(documents_of(dataset)) == {"a.txt", "b.MD"}


def test_keys_with_any_characters_are_listed_and_fetched(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    names = ["a b+c.txt", "100%.txt", "Käse & Öl.txt", "手册.txt", "q?x=1#y.txt", "<tag>.txt"]
    for name in names:
        bucket.put_object(Bucket=BUCKET, Key=f"docs/{name}", Body=f"About {name}".encode())
    source = bucket_source(dataset, s3_server)
    ran = sync(source)
    assert (ran.counts["listed"], ran.counts["failed"]) == (6, 0)
    assert set(documents_of(dataset)) == set(names)


def test_listing_of_several_pages_is_read_to_its_end(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PAGE_KEYS", 2)
    put(bucket, **{f"file{number}_txt": f"Text {number}." for number in range(5)})
    ran = sync(bucket_source(dataset, s3_server))
    assert ran.counts["new"] == 5
    assert len({state["cursor"] for state in ran.runtime.states}) == 3


def test_requests_are_signed_with_the_stored_secret(
    acme: Tenant, dataset: Dataset, site: WebServer, sealing: None
) -> None:
    create_secret(tenant=acme, name="bucket_key", value="a long secret key", hosts=["127.0.0.1"])
    body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    site.answers["/manuals/"] = (200, {}, body)
    config = {"bucket": BUCKET, "endpoint": site.url, "path_style": True, "access_key": "AKIAEXAMPLE"}
    sync(make_source(dataset, "s3", config, credentials={"secret_key": "bucket_key"}))
    sent = site.seen[-1].headers
    assert sent["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
    assert "a long secret key" not in str(sent)


def test_secret_of_another_host_is_not_used(acme: Tenant, dataset: Dataset, site: WebServer, sealing: None) -> None:
    create_secret(tenant=acme, name="bucket_key", value="a long secret key", hosts=["s3.example.com"])
    config = {"bucket": BUCKET, "endpoint": site.url, "path_style": True, "access_key": "AKIAEXAMPLE"}
    source = make_source(dataset, "s3", config, credentials={"secret_key": "bucket_key"})
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == "secret_host_refused"
    assert site.seen == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "credentials_refused"), (404, "bucket_missing"), (301, "bucket_elsewhere"), (400, "bucket_invalid")],
)
def test_refusals_of_a_bucket_are_named_errors(dataset: Dataset, site: WebServer, status: int, code: str) -> None:
    site.answers["/manuals/"] = (status, {"Location": "http://10.0.0.1/"}, b"<Error/>")
    source = make_source(dataset, "s3", {"bucket": BUCKET, "endpoint": site.url, "path_style": True})
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "bucket_invalid"),
        (b"<html><body>Hello</body></html>", "bucket_invalid"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult>&a;</ListBucketResult>', "xml_invalid"),
        (b"<ListBucketResult>", "xml_invalid"),
        (b"", "xml_invalid"),
    ],
    ids=["no end", "a page", "entities", "cut", "empty"],
)
def test_invalid_listing_is_a_named_error(dataset: Dataset, site: WebServer, body: bytes, code: str) -> None:
    site.answers["/manuals/"] = (200, {}, body)
    source = make_source(dataset, "s3", {"bucket": BUCKET, "endpoint": site.url, "path_style": True})
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == code


def test_object_that_is_gone_meanwhile_has_a_named_error(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    fetch = s3.S3Connector.fetch

    def delete_before(self: Any, item: Any) -> Any:
        bucket.delete_object(Bucket=BUCKET, Key=item.key)
        return fetch(self, item)

    monkeypatch.setattr(s3.S3Connector, "fetch", delete_before)
    assert sync(source).counts["failed"] == 1
    assert items_of(source)["a.txt"].error_code == "item_missing"


@pytest.mark.parametrize(
    "endpoint",
    ["http://10.0.0.1", "http://127.0.0.1:9000", "http://169.254.169.254", "http://[::1]:80", "ftp://x.example.com"],
)
def test_endpoint_inside_the_network_is_refused_when_it_is_saved(dataset: Dataset, endpoint: str) -> None:
    with pytest.raises(SourceInvalidError):
        make_source(dataset, "s3", {"bucket": BUCKET, "endpoint": endpoint})


def test_endpoint_that_is_no_longer_allowed_is_refused_at_the_call(
    dataset: Dataset, bucket: Any, s3_server: str, change_platform_settings: ChangePlatformSettings
) -> None:
    source = bucket_source(dataset, s3_server)
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[])
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == "address_refused"
