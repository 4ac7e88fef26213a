"""Metadata of documents and searches filtered by it: all modes, the index of vectors, rights and isolation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents.indexing.service import change_metadata
from workloads.documents.models import Dataset, Document, DocumentValue
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.service import update_dataset

FIELDS = [
    {"name": "year", "type": "number"},
    {"name": "author", "type": "text"},
    {"name": "day", "type": "date"},
    {"name": "draft", "type": "boolean"},
    {"name": "tags", "type": "texts"},
]
VALUES: dict[str, dict[str, Any]] = {
    "old.txt": {"year": 2019, "author": "Ann", "draft": False, "tags": ["red", "blue"], "day": "2019-05-01"},
    "new.txt": {"year": 2026, "author": "Bob", "draft": True, "tags": ["red"], "day": "2026-05-01"},
    "none.txt": {},
}
ALL = set(VALUES)


@pytest.fixture
def library(dataset: Dataset) -> Dataset:
    dataset = declare(dataset)
    for name, values in VALUES.items():
        document = add_document(dataset, name, f"The queue of {name} is a line of jobs.")
        with tenant_context(dataset.tenant_id):
            change_metadata(document_id=document.pk, metadata=values)
    return dataset


def declare(dataset: Dataset) -> Dataset:
    with tenant_context(dataset.tenant_id):
        return update_dataset(dataset=dataset, metadata_fields=FIELDS)


def names(dataset: Dataset, asked: Any, mode: SearchMode = SearchMode.HYBRID, **options: Any) -> set[str]:
    with tenant_context(dataset.tenant_id):
        hits = search_dataset(
            dataset=dataset,
            query="a line of jobs",
            mode=mode,
            metadata_filter=asked,
            is_folded=False,
            **options,
        )
    return {hit.chunk.document.name for hit in hits}


@pytest.mark.parametrize("mode", list(SearchMode))
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, ALL),
        ({}, ALL),
        ({"year": 2026}, {"new.txt"}),
        ({"year": {"gte": 2019}}, {"old.txt", "new.txt"}),
        ({"year": {"gt": 2019, "lt": 2030}}, {"new.txt"}),
        ({"author": {"in": ["Ann", "Bob"]}}, {"old.txt", "new.txt"}),
        ({"draft": False}, {"old.txt"}),
        ({"tags": "red"}, {"old.txt", "new.txt"}),
        ({"tags": {"in": ["red", "blue"]}, "day": {"lt": "2020-01-01"}}, {"old.txt"}),
        ({"tags": "red", "author": "Ann", "year": 2026}, set()),
        ({"author": "ann"}, set()),
    ],
    ids=["none", "empty", "equal", "least", "between", "in", "boolean", "list", "two", "contradiction", "case"],
)
def test_filter_leaves_out_other_documents(library: Dataset, mode: SearchMode, asked: Any, found: set[str]) -> None:
    assert names(library, asked, mode) == found


def test_filter_changes_no_score_of_words(library: Dataset) -> None:
    with tenant_context(library.tenant_id):
        both = [
            search_dataset(dataset=library, query="new.txt queue", mode=SearchMode.TEXT, metadata_filter=asked)
            for asked in (None, {"year": 2026})
        ]
    everything, filtered = ({hit.chunk.pk: hit.score for hit in hits} for hits in both)
    assert len(filtered) == 1
    assert filtered.items() <= everything.items()


def test_changed_values_are_found_at_once(library: Dataset) -> None:
    with tenant_context(library.tenant_id):
        document = Document.objects.get(name="new.txt")
        change_metadata(document_id=document.pk, metadata={"year": 2027, "tags": ["green", "red"], "author": None})
    assert names(library, {"year": 2026}) == set()
    assert names(library, {"year": 2027, "tags": "green"}) == {"new.txt"}
    assert names(library, {"author": "Bob"}) == set()
    with tenant_context(library.tenant_id):
        document.refresh_from_db()
        assert document.metadata == {"year": 2027, "tags": ["green", "red"], "draft": True, "day": "2026-05-01"}
        assert DocumentValue.objects.filter(document=document).count() == 5
        document.delete()
        assert not DocumentValue.objects.filter(document_id=document.pk).exists()


def test_values_of_another_tenant_are_not_seen(library: Dataset, globex_dataset: Dataset) -> None:
    globex_dataset = declare(globex_dataset)
    add_document(globex_dataset, "theirs.txt", "A line of jobs.")
    assert names(globex_dataset, {"year": {"gte": 0}}) == set()
    with tenant_context(globex_dataset.tenant_id):
        assert not DocumentValue.objects.exists()


def post(api: APIClient, path: str, **body: Any) -> Any:
    return api.post(f"/api/v1/{path}", body, format="json")


def test_declared_fields_are_checked_and_kept_while_used(acme_api: APIClient, library: Dataset) -> None:
    url = f"/api/v1/datasets/{library.pk}/"
    assert acme_api.get(url).json()["metadata_fields"] == FIELDS
    for faulty in ([{"name": "year", "type": "integer"}], [FIELDS[0], FIELDS[0]], [{"name": "x"}], "year"):
        assert acme_api.patch(url, {"metadata_fields": faulty}, format="json").status_code == 422
    more = [*FIELDS, {"name": "pages", "type": "number"}]
    assert acme_api.patch(url, {"metadata_fields": more}, format="json").json()["metadata_fields"] == more
    # No document has a value of it.
    assert acme_api.patch(url, {"metadata_fields": FIELDS}, format="json").status_code == 200
    for changed in (FIELDS[1:], [{"name": "year", "type": "text"}, *FIELDS[1:]]):
        refused = acme_api.patch(url, {"metadata_fields": changed}, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "metadata_field_in_use")
    assert acme_api.get(url).json()["metadata_fields"] == FIELDS


def test_documents_get_values_with_each_way_of_adding_them(acme_api: APIClient, dataset: Dataset) -> None:
    declare(dataset)
    values = {"year": 2026, "tags": ["red"]}
    path = f"datasets/{dataset.pk}/documents"
    text = post(acme_api, f"{path}/from-text/", name="a.txt", text="A queue.", metadata=values)
    page = post(acme_api, f"{path}/from-url/", url="https://example.com/a", metadata=values)
    file = SimpleUploadedFile("b.txt", b"A line.")
    upload = acme_api.post(f"/api/v1/{path}/", {"files": [file], "metadata": json.dumps(values)}, format="multipart")
    for answer in (text, page, upload):
        assert answer.status_code == 202, answer.json()
        assert [one["metadata"] for one in answer.json()["documents"]] == [values]
    with tenant_context(dataset.tenant_id):
        assert DocumentValue.objects.count() == 6


@pytest.mark.parametrize("metadata", ["{", "[1]", '{"colour": 1}', '{"year": "x"}', '{"year": NaN}'])
def test_upload_with_faulty_values_stores_nothing(acme_api: APIClient, dataset: Dataset, metadata: str) -> None:
    declare(dataset)
    file = SimpleUploadedFile("b.txt", b"A line.")
    body = {"files": [file], "metadata": metadata}
    answer = acme_api.post(f"/api/v1/datasets/{dataset.pk}/documents/", body, format="multipart")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "metadata"
    with tenant_context(dataset.tenant_id):
        assert not Document.objects.exists()


def test_values_are_changed_by_api_with_an_audit_entry(acme_api: APIClient, library: Dataset) -> None:
    with tenant_context(library.tenant_id):
        url = f"/api/v1/documents/{Document.objects.get(name='old.txt').pk}/"
    etag = acme_api.get(url)["ETag"]
    body = {"metadata": {"year": 2020, "author": None}, "reason": "typo"}
    changed = acme_api.patch(url, body, format="json", headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changed.json()["metadata"]["year"] == 2020
    assert "author" not in changed.json()["metadata"]
    assert acme_api.patch(url, body, format="json", headers={"If-Match": etag}).status_code == 412
    assert acme_api.patch(url, {"metadata": {"colour": 1}}, format="json").status_code == 422
    with all_tenants():
        entries = AuditLogEntry.objects.filter(action="document.metadata_changed", target_id=url.split("/")[-2])
        entry = entries.latest("id")
    assert entry.before is not None
    assert entry.after is not None
    assert entry.before["metadata"]["author"] == "Ann"
    assert entry.after["metadata"]["year"] == 2020


@pytest.mark.parametrize("asked", [[], "x", {"colour": 1}, {"year": {"near": 1}}, {str(n): 1 for n in range(11)}])
def test_faulty_filter_is_refused(acme_api: APIClient, library: Dataset, asked: Any) -> None:
    answer = post(acme_api, f"datasets/{library.pk}/search/", query="queue", filter=asked)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "filter"


def test_search_by_api_is_filtered(acme_api: APIClient, library: Dataset) -> None:
    for path in (f"datasets/{library.pk}/search/", "datasets/search/"):
        several = {} if str(library.pk) in path else {"datasets": [str(library.pk)]}
        answer = post(acme_api, path, query="queue", filter={"draft": True}, **several).json()
        assert [hit["document"]["name"] for hit in answer["results"]] == ["new.txt"]
        assert (answer["reranked"], answer["rerank_reason"]) == (False, "")
