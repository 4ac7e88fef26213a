"""Documents from texts and addresses, pauses of running ones, and an endpoint with a rate limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.consistency.verification import verify
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.documents.indexing.conftest import JobRunner, upload
from tests.platform_settings import override_platform_settings
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.embedding_models import local_embedder
from workloads.documents.indexing.service import pause_document, resume_document
from workloads.documents.models import Chunk, Dataset, Document

pytestmark = pytest.mark.django_db

LONG = " ".join(f"Sentence number {number} says something of its own." for number in range(120)).encode()
PAGE = b"<html><body><h1>Queues</h1><p>A queue is a line of jobs.</p></body></html>"


class Site:
    """A site on loopback; `pages` are answered by path, each with status, type and body."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                status, kind, body = site.pages.get(self.path, (404, "text/plain", b"no"))
                self.send_response(status)
                self.send_header("Location" if status == 302 else "Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with override_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[made.host]):
        yield made
    made.close()


def add_url(api: APIClient, dataset: Dataset, url: str, **body: str) -> Any:
    return api.post(f"/api/v1/datasets/{dataset.pk}/documents/from-url/", {"url": url, **body}, format="json")


def add_text(api: APIClient, dataset: Dataset, **body: str) -> Any:
    return api.post(f"/api/v1/datasets/{dataset.pk}/documents/from-text/", body, format="json")


def read(tenant: Tenant, document_id: str) -> Document:
    with tenant_context(tenant):
        return Document.objects.get(pk=document_id)


def texts_of(tenant: Tenant, document_id: str) -> list[str]:
    with tenant_context(tenant):
        return list(Chunk.objects.filter(document=document_id, is_served=True).values_list("text", flat=True))


def test_text_becomes_a_document(acme: Tenant, dataset: Dataset, acme_api: APIClient, job_runner: JobRunner) -> None:
    answer = add_text(acme_api, dataset, name="notes", text="# Queues\n\nA queue is a line.", format="markdown")
    assert answer.status_code == 202, answer.json()
    [document] = answer.json()["documents"]
    assert (document["name"], document["content_type"], document["source_url"]) == ("notes", "text/markdown", "")
    assert job_runner.run(document["job"]).state == "completed"
    assert "A queue is a line." in texts_of(acme, document["id"])[0]
    again = add_text(acme_api, dataset, name="notes", text="# Queues\n\nA queue is a line.", format="markdown").json()
    assert (again["batch"], again["documents"][0]["duplicate_of"]) == (None, document["id"])
    for wrong in ({"name": "x", "text": ""}, {"name": "", "text": "x"}, {"name": "x", "text": "x", "format": "pdf"}):
        assert add_text(acme_api, dataset, **wrong).status_code == 422


def test_page_is_fetched_by_its_job_and_indexed(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, job_runner: JobRunner, site: Site
) -> None:
    site.pages = {"/docs/queues": (200, "text/html; charset=utf-8", PAGE)}
    url = f"http://{site.host}/docs/queues"
    answer = add_url(acme_api, dataset, url)
    assert answer.status_code == 202, answer.json()
    [document] = answer.json()["documents"]
    assert (document["source_url"], document["size_bytes"], document["content_type"]) == (url, 0, "")
    assert document["name"] == f"{site.host}/docs/queues"
    assert site.asked == []
    assert job_runner.run(document["job"]).state == "completed"
    after = read(acme, document["id"])
    assert (after.content_type, after.size_bytes, after.is_fetch_due) == ("text/html", len(PAGE), False)
    assert "A queue is a line of jobs." in texts_of(acme, document["id"])[0]
    assert add_url(acme_api, dataset, url).json()["documents"][0]["duplicate_of"] == document["id"]
    assert verify().is_clean


def test_changed_page_replaces_the_old_document(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, job_runner: JobRunner, site: Site
) -> None:
    site.pages = {"/a": (200, "text/plain", b"The first of all texts.")}
    [document] = add_url(acme_api, dataset, f"http://{site.host}/a").json()["documents"]
    job_runner.run(document["job"])
    site.pages["/a"] = (500, "text/plain", b"oh")
    address = f"/api/v1/documents/{document['id']}/reindex/"
    renewed = acme_api.post(address, {"refetch": True}, format="json").json()
    assert job_runner.run(renewed["job"]).state == "retryable"
    assert texts_of(acme, document["id"]) == ["The first of all texts."]
    site.pages["/a"] = (200, "text/plain", b"The second text.")
    renewed = acme_api.post(address, {"refetch": True}, format="json").json()
    assert job_runner.run(renewed["job"]).state == "completed"
    assert texts_of(acme, document["id"]) == ["The second text."]
    assert len(site.asked) == 3
    # Changed settings alone cause no fetch.
    renewed = acme_api.post(address, {}, format="json").json()
    assert job_runner.run(renewed["job"]).state == "completed"
    assert len(site.asked) == 3
    assert verify().is_clean


@pytest.mark.parametrize(
    ("page", "state", "code"),
    [
        ((404, "text/plain", b"no"), "discarded", "http_404"),
        ((503, "text/plain", b"no"), "retryable", "http_503"),
        ((200, "image/png", b"\x89PNG\r\n\x1a\n" + b"\x00\x01" * 40), "discarded", "type_unknown"),
        ((200, "text/plain", b""), "discarded", "file_empty"),
        ((302, "http://127.0.0.1:1/inside", b""), "discarded", "address_refused"),
    ],
)
def test_page_that_is_no_document_has_its_error(
    acme: Tenant,
    dataset: Dataset,
    acme_api: APIClient,
    job_runner: JobRunner,
    site: Site,
    page: tuple[int, str, bytes],
    state: str,
    code: str,
) -> None:
    site.pages = {"/x": page}
    [document] = add_url(acme_api, dataset, f"http://{site.host}/x").json()["documents"]
    assert job_runner.run(document["job"]).state == state
    assert read(acme, document["id"]).error_code == code


def test_internal_address_is_not_fetched(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, job_runner: JobRunner
) -> None:
    for wrong in ("ftp://example.com/x", "nothing", "http://user:word@example.com/"):
        answer = add_url(acme_api, dataset, wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "field_invalid"), wrong
    [document] = add_url(acme_api, dataset, "http://169.254.169.254/latest/meta-data/").json()["documents"]
    assert job_runner.run(document["job"]).state == "discarded"
    assert read(acme, document["id"]).error_code == "address_refused"


def test_file_without_an_address_cannot_be_fetched_again(acme_api: APIClient, dataset: Dataset) -> None:
    document = upload(dataset, a_txt=b"one").files[0].document
    answer = acme_api.post(f"/api/v1/documents/{document.pk}/reindex/", {"refetch": True}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "document_without_address")


def test_running_document_pauses_at_a_safe_point_and_continues_there(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (file.document for file in upload(dataset, a_txt=LONG, b_txt=LONG[100:]).files)
    with tenant_context(acme):
        Job.objects.filter(pk=first.job_id).update(state="executing")
        pause_document(document_id=first.pk, reason="too much")
        assert AuditLogEntry.objects.filter(action="document.pause_asked", target_id=str(first.pk)).exists()
        Job.objects.filter(pk=first.job_id).update(state="available")
        # It has started, and the request is read only at its first chunks.
        Document.objects.filter(pk=first.pk).update(is_pause_asked=False)
    embedder = local_embedder()

    class Pausing(Embedder):
        dependency = None

        def embed(self, texts: Any) -> Any:
            with tenant_context(acme):
                Document.objects.filter(pk=first.pk).update(is_pause_asked=True)
            return embedder.embed(texts)

    with monkeypatch.context() as patched:
        patched.setattr("workloads.documents.indexing.processor.embedder_of", lambda *_: Pausing())
        assert job_runner.run(first.job_id).state == "suspended"
    done = read(acme, str(first.pk)).chunks_done
    assert 0 < done < (read(acme, str(first.pk)).chunks_total or 0)
    assert acme_api.get(f"/api/v1/documents/{first.pk}/").json()["status"] == "paused"
    assert job_runner.run(second.job_id).state == "completed"
    answer = acme_api.post(f"/api/v1/documents/{first.pk}/resume/", {}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "indexing")
    assert job_runner.run(first.job_id).state == "completed"
    assert len(texts_of(acme, str(first.pk))) == read(acme, str(first.pk)).chunks_total


def test_pause_that_has_not_begun_is_withdrawn(acme: Tenant, dataset: Dataset) -> None:
    document = upload(dataset, a_txt=LONG).files[0].document
    with tenant_context(acme):
        Job.objects.filter(pk=document.job_id).update(state="executing")
        pause_document(document_id=document.pk)
        resume_document(document_id=document.pk)
        assert not Document.objects.get(pk=document.pk).is_pause_asked
        assert AuditLogEntry.objects.filter(action="document.pause_withdrawn").exists()


def test_rate_limited_endpoint_uses_no_attempt(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = upload(dataset, a_txt=LONG).files[0].document
    embedder = local_embedder()
    calls: list[int] = []

    class Busy(Embedder):
        dependency = None

        def embed(self, texts: Any) -> Any:
            calls.append(len(texts))
            if len(calls) == 2:
                raise EndpointRateLimitedError("busy", seconds=7)
            return embedder.embed(texts)

    monkeypatch.setattr("workloads.documents.indexing.processor.embedder_of", lambda *_: Busy())
    job = job_runner.run(document.job_id)
    assert job.state == "scheduled"
    assert read(acme, str(document.pk)).chunks_done == calls[0]
    with tenant_context(acme):
        assert Job.objects.get(pk=document.job_id).attempt == 0
