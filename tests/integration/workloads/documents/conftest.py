"""Datasets with chunks in them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.models import Tenant
from workloads.documents import repository
from workloads.documents.blocks import Block, Facts
from workloads.documents.embedding import text_to_embed
from workloads.documents.embedding_models import embedder_of
from workloads.documents.models import Dataset, Document
from workloads.documents.service import create_dataset
from workloads.documents.splitting import passages_digest, split_blocks


@pytest.fixture
def dataset(acme: Tenant) -> Dataset:
    return create_dataset(tenant=acme, name="handbook")


@pytest.fixture
def globex_dataset(globex: Tenant) -> Dataset:
    return create_dataset(tenant=globex, name="handbook")


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(globex)


def add_document(dataset: Dataset, name: str, *texts: str) -> Document:
    """Create a document with one block per text, stored as its job stores it."""
    with tenant_context(dataset.tenant_id):
        document: Document = Document.objects.create(
            tenant_id=dataset.tenant_id,
            dataset=dataset,
            name=name,
            content_type="text/plain",
            size_bytes=1,
            sha256=uuid4().hex,
            settings_key=dataset.settings_key,
            storage_key=f"none/{uuid4()}",
            job_id=uuid4(),
            batch_id=uuid4(),
        )
        source = repository.read_source(dataset.tenant_id, document.pk, job_id=document.job_id)
        passages = split_blocks([Block(text, {"line": 1}) for text in texts], dataset.split_settings)
        repository.begin_chunks(source, digest=passages_digest(passages), total=len(passages), facts=Facts())
        embedder = embedder_of(dataset.tenant_id, source.embedding_model)
        vectors = embedder.embed([text_to_embed(passage.text, passage.location) for passage in passages])
        repository.append_chunks(source, passages, vectors)
        repository.complete(source)
    return document
