"""A dataset, an S3 server and a web site on loopback, and helpers that run a sync in the test's own process."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest

from scheduling.kit.base import Interrupted, Outcome
from scheduling.kit.testing import RecordingRuntime, make_context
from tenants.context import tenant_context
from tenants.encryption.data_keys import forget_keys
from tenants.models import Tenant
from tenants.secrets.service import create_secret
from tests.aws_server import aws_server, url_of
from tests.integration.workloads.files.conftest import files_root  # noqa: F401 - a fixture of this folder too
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.documents.models import Dataset, Document
from workloads.documents.sources.models import ContentSource, SourceItem
from workloads.documents.sources.processor import DocumentSync
from workloads.documents.sources.service import create_source, start_sync

BUCKET = "manuals"
REGION = "us-east-1"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with aws_server() as server:
        yield url_of(server)


@pytest.fixture
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    """Set a master key, which secrets need."""
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"k" * 32).decode()])
    yield
    forget_keys()


@pytest.fixture
def bucket(
    acme: Tenant, s3_server: str, sealing: None, change_platform_settings: ChangePlatformSettings
) -> Iterator[Any]:
    """Return a client of a server with one private bucket, whose key is a secret of acme."""
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[s3_server.removeprefix("http://")])
    create_secret(tenant=acme, name="bucket_key", value="a long secret key", hosts=["127.0.0.1"])
    client = boto3.client(
        "s3", endpoint_url=s3_server, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for stored in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=stored["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def site(change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Return a web site without pages; its connector waits for nothing."""
    monkeypatch.setattr("workloads.documents.sources.calls.Calls._pause", lambda _: None)
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        running.answers["/robots.txt"] = (404, {}, b"")
        yield running


def put(client: Any, **texts: str) -> None:
    """Put objects into the bucket; `a_txt="…"` is docs/a.txt."""
    for name, text in texts.items():
        client.put_object(Bucket=BUCKET, Key=f"docs/{name.replace('_', '.')}", Body=text.encode())


def publish(site: WebServer, pages: dict[str, str], *, path: str = "/sitemap.xml", versions: bool = True) -> None:
    """Publish pages, and the sitemap that lists them with their lengths as versions."""
    for name, text in pages.items():
        site.answers[name] = (200, {"Content-Type": "text/html"}, f"<html><body>{text}</body></html>".encode())
    lines = [
        f"<url><loc>{site.url}{name}</loc>{f'<lastmod>{text}</lastmod>' if versions else ''}</url>"
        for name, text in pages.items()
    ]
    site.answers[path] = (200, {}, sitemap(*lines))


def sitemap(*lines: str, kind: str = "urlset") -> bytes:
    body = "".join(lines)
    return f'<?xml version="1.0"?><{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</{kind}>'.encode()


def make_source(dataset: Dataset, connector: str, config: dict[str, Any], **options: Any) -> ContentSource:
    with tenant_context(dataset.tenant_id):
        tenant = Tenant.objects.select_related("plan").get(pk=dataset.tenant_id)
    values = {"name": f"our {connector}", "config": config} | options
    return create_source(tenant=tenant, dataset=dataset, connector=connector, **values)


def bucket_source(dataset: Dataset, s3_server: str, **options: Any) -> ContentSource:
    config = {"bucket": BUCKET, "endpoint": s3_server, "path_style": True, "prefix": "docs/", "access_key": "testing"}
    credentials = {"secret_key": "bucket_key"}
    return make_source(dataset, "s3", config | options.pop("config", {}), credentials=credentials, **options)


def site_source(dataset: Dataset, site: WebServer, **options: Any) -> ContentSource:
    return make_source(dataset, "sitemap", {"url": site.url} | options.pop("config", {}), **options)


@dataclass
class Ran:
    """How one execution ended; ``outcome`` is None after a kill or an error."""

    outcome: Outcome | None = None
    error: BaseException | None = None
    runtime: RecordingRuntime = field(default_factory=RecordingRuntime)

    @property
    def counts(self) -> dict[str, Any]:
        return dict(self.outcome.result)  # type: ignore[union-attr]


def execute(source: ContentSource, *, job_id: Any, state: Any = None, **runtime: Any) -> Ran:
    """Run one execution of a job; what it has committed stays, as after a kill."""
    recorded = RecordingRuntime(**runtime)
    context = make_context(DocumentSync, {"source": str(source.pk)}, runtime=recorded, state=state)
    context = replace(context, tenant_id=source.tenant_id, job_id=job_id)
    ran = Ran(runtime=recorded)
    with tenant_context(source.tenant_id):
        try:
            ran.outcome = DocumentSync().process(context)  # type: ignore[assignment]
        except (Exception, Interrupted) as error:  # noqa: BLE001 - the test looks at it
            ran.error = error
            if not isinstance(error, Interrupted):
                ran.outcome = DocumentSync().handle_error(context, error)
    return ran


def sync(source: ContentSource, **runtime: Any) -> Ran:
    """Start a sync of a source and run its job."""
    with tenant_context(source.tenant_id):
        ContentSource.objects.filter(pk=source.pk).update(job_id=None)
        job_id = start_sync(source_id=source.pk).job_id
    ran = execute(source, job_id=job_id, **runtime)
    if ran.error is not None and not isinstance(ran.error, Interrupted):
        raise ran.error
    return ran


def documents_of(dataset: Dataset) -> dict[str, str]:
    """Return the names of the dataset's documents with the first digits of their hashes."""
    with tenant_context(dataset.tenant_id):
        return {one.name: one.sha256[:8] for one in Document.objects.filter(dataset=dataset)}


def items_of(source: ContentSource) -> dict[str, SourceItem]:
    """Return the items of a source by the last part of their keys."""
    with tenant_context(source.tenant_id):
        return {one.key.rsplit("/", 1)[-1]: one for one in SourceItem.objects.filter(source=source)}
