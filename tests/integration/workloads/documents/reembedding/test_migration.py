"""The data migration to one model for each dataset: vectors lose their zeros, and documents stay up to date."""

from __future__ import annotations

from hashlib import sha256
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.reembedding.conftest import sizes_of
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.service import create_dataset

pytestmark = pytest.mark.django_db
MIGRATION = import_module("workloads.documents.migrations.0013_model_of_each_dataset")
SPLITTING: dict[str, dict[str, Any]] = {
    "default": {},
    "characters": {"size_unit": "characters", "chunk_size": 400},
    "parents": {"chunking": "parent_child", "chunk_size": 100, "parent_size": 300},
}


def migrate(statement: str) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement)


def made_by(model: str, dataset: Dataset) -> None:
    """Give the dataset a model of an endpoint, and its documents the key that they had with it."""
    key = sha256(f"{dataset.split_settings.key}:{model}".encode()).hexdigest()[:16]
    with tenant_context(dataset.tenant_id):
        Dataset.objects.filter(pk=dataset.pk).update(embedding_model=model)
        Document.objects.filter(dataset=dataset).update(settings_key=key)


@pytest.mark.parametrize("splitting", SPLITTING)
def test_key_of_a_document_is_that_of_its_dataset_for_every_model(acme: Tenant, splitting: str) -> None:
    dataset = create_dataset(tenant=acme, name="handbook", **SPLITTING[splitting])
    document = add_document(dataset, "a.txt", "The cat sleeps.")
    made_by("large@256", dataset)
    migrate(MIGRATION.RENAME_KEYS)
    with tenant_context(acme):
        document.refresh_from_db()
    assert document.settings_key == dataset.settings_key


def test_document_with_a_twin_of_the_new_key_keeps_its_own(acme: Tenant) -> None:
    dataset = create_dataset(tenant=acme, name="handbook")
    first, twin = (add_document(dataset, name, "The cat sleeps.") for name in ("a.txt", "b.txt"))
    made_by("large", dataset)
    with tenant_context(acme):
        Document.objects.filter(pk=twin.pk).update(sha256=first.sha256, settings_key=dataset.settings_key)
    migrate(MIGRATION.RENAME_KEYS)
    with tenant_context(acme):
        assert Document.objects.filter(dataset=dataset, settings_key=dataset.settings_key).get() == twin


@pytest.mark.parametrize(("model", "size"), [("large@256", 256), ("large", 512), ("large@0", 512)])
def test_zeros_of_padded_vectors_are_cut(acme: Tenant, model: str, size: int) -> None:
    dataset = create_dataset(tenant=acme, name="handbook")
    add_document(dataset, "a.txt", "The cat sleeps.", "The dog barks.")
    made_by(model, dataset)
    migrate(MIGRATION.CUT_ZEROS)
    assert sizes_of(dataset) == {size}
    with tenant_context(acme):
        assert Chunk.objects.filter(dataset=dataset).exists()
