"""A file storage for each test, and rows of documents that refer to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.models import Tenant
from workloads.documents.models import Dataset, Document
from workloads.documents.service import create_dataset


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture
def dataset(acme: Tenant) -> Dataset:
    return create_dataset(tenant=acme, name="handbook")


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(globex)


def refer(dataset: Dataset, key: str) -> Document:
    """Create a row that refers to a content."""
    with tenant_context(dataset.tenant_id):
        document: Document = Document.objects.create(
            tenant_id=dataset.tenant_id,
            dataset=dataset,
            name="a.txt",
            content_type="text/plain",
            size_bytes=1,
            sha256=uuid4().hex,
            settings_key=dataset.settings_key,
            storage_key=key,
            status="completed",
            job_id=uuid4(),
            batch_id=uuid4(),
        )
    return document
