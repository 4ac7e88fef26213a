"""Datasets over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents.models import Dataset

URL = "/api/v1/datasets/"


def test_dataset_is_created_changed_and_deleted_with_audit_entries(acme_api: APIClient) -> None:
    made = acme_api.post(URL, {"name": "手册", "chunk_size": 300})
    assert made.status_code == 201, made.content
    assert (made.json()["chunk_size"], made.json()["chunk_overlap"]) == (300, 20)
    assert made.json()["embedding_model"] == "use-multilingual-3"
    url = f"{URL}{made.json()['id']}/"
    changed = acme_api.patch(url, {"description": "about us", "chunk_overlap": 0})
    assert (changed.json()["description"], changed.json()["chunk_overlap"]) == ("about us", 0)
    assert acme_api.get(url).json() == changed.json()
    assert acme_api.delete(url).status_code == 204
    assert acme_api.get(url).status_code == 404
    with all_tenants():
        actions = list(AuditLogEntry.objects.filter(target_type="retrieval.dataset").values_list("action", flat=True))
    assert sorted(actions) == ["dataset.created", "dataset.deleted", "dataset.updated"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, None),
        ({"name": ""}, 422, None),
        ({"name": "x" * 101}, 422, None),
        ({"name": "a\u200bb"}, 422, None),  # zero width: two names would look the same
        ({"name": 5}, 422, None),
        ({"name": "x", "chunk_size": 19}, 422, None),
        ({"name": "x", "chunk_size": 1_001}, 422, None),
        ({"name": "x", "chunk_size": "200"}, 422, None),
        ({"name": "x", "chunk_size": True}, 422, None),
        ({"name": "x", "chunk_size": 40, "chunk_overlap": 21}, 422, "settings_invalid"),
        ({"name": "x", "colour": "red"}, 422, None),
        ({"name": "handbook"}, 409, "dataset_name_taken"),
    ],
)
def test_invalid_dataset_is_refused(
    acme_api: APIClient, dataset: Dataset, body: dict[str, Any], status: int, code: str | None
) -> None:
    response = acme_api.post(URL, body)
    assert response.status_code == status, response.content
    if code is not None:
        assert response.json()["code"] == code
    with all_tenants():
        assert Dataset.objects.count() == 1


def test_dataset_name_may_be_used_by_two_tenants(dataset: Dataset, globex_dataset: Dataset) -> None:
    assert dataset.name == globex_dataset.name


def test_dataset_with_documents_is_not_deleted(acme_api: APIClient, dataset: Dataset) -> None:
    add_document(dataset, "a.txt", "Text.")
    response = acme_api.delete(f"{URL}{dataset.pk}/")
    assert (response.status_code, response.json()["code"]) == (409, "dataset_in_use")
