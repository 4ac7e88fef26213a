"""Recognition of scanned pages and comments of Word documents, as settings of a dataset."""

from __future__ import annotations

import docx
import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.integration.workloads.documents.indexing.conftest import JobRunner
from tests.integration.workloads.documents.indexing.test_facts import index, post
from tests.ocr_server import ocr_server
from tests.platform_settings import ChangePlatformSettings
from tests.unit.workloads.documents.extraction.makers import save_docx
from tests.unit.workloads.documents.extraction.pdf_maker import draw_pdf, lines, scan_of
from workloads.documents.models import Dataset

SCAN = scan_of(draw_pdf(lines("Fair queues")))


def use(change: ChangePlatformSettings, url: str) -> None:
    change(DOCUMENTS_OCR="tika", DOCUMENTS_OCR_URL=url)


def set_pages(client: APIClient, dataset: Dataset, pages: int = 5) -> None:
    changed = client.patch(f"/api/v1/datasets/{dataset.pk}/", {"max_ocr_pages": pages}, format="json")
    assert (changed.status_code, changed.json()["max_ocr_pages"]) == (200, pages)


def text_of(client: APIClient, document: str) -> str:
    answer = client.get(f"/api/v1/documents/{document}/text/")
    return b"".join(answer.streaming_content if answer.streaming else [answer.content]).decode()


def test_scan_is_indexed_by_its_recognised_text(
    acme_user: User,
    acme_api: APIClient,
    dataset: Dataset,
    job_runner: JobRunner,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    with ocr_server("Fair queues.") as server:
        use(change_platform_settings, server.url)
        set_pages(acme_api, dataset)
        document = index(acme_api, job_runner, post(acme_api, dataset, "a.pdf", SCAN))
    assert (document["status"], document["warnings"]) == ("completed", [])
    assert (document["pages"], document["pages_without_text"], document["pages_recognized"]) == (1, 0, 1)
    assert "Fair queues." in text_of(acme_api, document["id"])
    member = Client()
    member.force_login(acme_user)
    page = member.get(f"/admin/retrieval/document/{document['id']}/change/").content.decode()
    assert "Recognised pages" in page


@pytest.mark.parametrize(("percent", "status"), [(100, "completed"), (50, "completed"), (49, "error")])
def test_failed_recognition_is_a_warning_or_a_refusal(
    acme: Tenant,
    acme_api: APIClient,
    dataset: Dataset,
    job_runner: JobRunner,
    change_platform_settings: ChangePlatformSettings,
    percent: int,
    status: str,
) -> None:
    change_settings(tenant=acme, values={"document_indexing.max_percent_without_text": percent})
    with ocr_server("First.") as server:
        use(change_platform_settings, server.url)
        set_pages(acme_api, dataset, 1)
        both = scan_of(draw_pdf(lines("First."), lines("Second.")))
        document = index(acme_api, job_runner, post(acme_api, dataset, "a.pdf", both))
    reason = "Text was recognised on 1 pages without text at most"
    assert document["status"] == status
    if status == "error":
        assert document["error"]["code"] == "file_without_text"
        assert reason in document["error"]["message"]
    else:
        assert (document["pages_without_text"], document["pages_recognized"]) == (1, 1)
        assert reason in document["warnings"][0]


def test_pages_are_refused_while_the_platform_recognises_no_text(
    acme_user: User, acme_api: APIClient, dataset: Dataset, change_platform_settings: ChangePlatformSettings
) -> None:
    refused = acme_api.patch(f"/api/v1/datasets/{dataset.pk}/", {"max_ocr_pages": 5}, format="json")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "max_ocr_pages"
    assert "DOCUMENTS_OCR" in refused.json()["errors"][0]["detail"]
    new = acme_api.post("/api/v1/datasets/", {"name": "scans", "max_ocr_pages": 5}, format="json")
    assert new.status_code == 422
    member = Client()
    member.force_login(acme_user)
    form = member.get(f"/admin/retrieval/dataset/{dataset.pk}/change/")
    values = {name: value for name, value in form.context["adminform"].form.initial.items() if value is not None}
    shown = member.post(f"/admin/retrieval/dataset/{dataset.pk}/change/", {**values, "max_ocr_pages": 5})
    assert "its operator has to set DOCUMENTS_OCR" in shown.content.decode()
    use(change_platform_settings, "http://tika:9998")
    over = acme_api.patch(f"/api/v1/datasets/{dataset.pk}/", {"max_ocr_pages": 201}, format="json")
    assert over.status_code == 422


def test_settings_of_extraction_outdate_documents_only_if_they_are_not_the_defaults(
    acme: Tenant, dataset: Dataset
) -> None:
    with tenant_context(acme):
        stored = Dataset.objects.get(pk=dataset.pk)
    keys = {stored.settings_key}
    for name, value in (("max_ocr_pages", 5), ("reads_comments", True), ("max_ocr_pages", 0)):
        setattr(stored, name, value)
        keys.add(stored.settings_key)
    stored.reads_comments = False
    assert len(keys) == 4
    assert stored.settings_key in keys


def test_comments_of_a_word_document_are_read_if_the_dataset_says_so(
    acme_api: APIClient, dataset: Dataset, job_runner: JobRunner
) -> None:
    written = docx.Document()
    written.add_comment(written.add_paragraph("Fair queues.").runs, text="Or not?", author="Anna")
    plain = index(acme_api, job_runner, post(acme_api, dataset, "a.docx", save_docx(written)))
    assert "Or not?" not in text_of(acme_api, plain["id"])
    changed = acme_api.patch(f"/api/v1/datasets/{dataset.pk}/", {"reads_comments": True}, format="json")
    assert changed.json()["reads_comments"] is True
    commented = index(acme_api, job_runner, post(acme_api, dataset, "b.docx", save_docx(written)))
    assert "Comment by Anna: Or not?" in text_of(acme_api, commented["id"])
