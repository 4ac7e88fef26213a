"""State checks of files: mismatches of contents and references are found, and the counter of bytes is repaired."""

from __future__ import annotations

import pytest
from django.core.files.storage import default_storage
from django.db.models import F
from django.db.models.functions import Now

from scheduling.consistency.verification import verify
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.files.conftest import refer
from workloads.documents.models import Dataset
from workloads.files import state_checks
from workloads.files.models import Content
from workloads.files.store import storage_key, store_bytes

pytestmark = pytest.mark.django_db


def found() -> dict[str, list[str]]:
    return {code: [str(example) for example in finding.examples] for (code, _), finding in verify().findings.items()}


def change(tenant: Tenant, key: str, **columns: object) -> None:
    with tenant_context(tenant):
        assert Content.objects.filter(key=key).update(**columns)


@pytest.mark.parametrize("rows", [1, 100])
def test_each_mismatch_is_found(acme: Tenant, dataset: Dataset, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_checks, "ROWS", rows)
    monkeypatch.setattr(state_checks, "FILE_ROWS", rows)
    good, lost, unused, held = (store_bytes(acme.pk, data).key for data in (b"good", b"lost", b"unused", b"held"))
    for key in (good, lost):
        refer(dataset, key)
    assert found() == {}
    default_storage.delete(lost)
    change(acme, unused, held_until=Now() - state_checks.UNUSED_AFTER)
    never = storage_key(acme.pk, "ab" * 32)
    document = refer(dataset, never)
    faults = found()
    assert faults == {
        "content_without_file": [lost],
        "unused_content": [unused],
        "reference_without_content": [f"{document.pk} retrieval.Document: {never}"],
    }
    # Files of a customer are neither removed nor written by a repair.
    assert not verify(repair=True).is_clean
    assert found() == faults
    assert default_storage.exists(held)


def test_counter_of_bytes_is_repaired(acme: Tenant, dataset: Dataset) -> None:
    key = store_bytes(acme.pk, b"some text").key
    refer(dataset, key)
    change(acme, key, size_bytes=F("size_bytes") + 1_000)
    assert set(found()) == {"storage_counter"}
    assert verify(repair=True).is_clean
    assert found() == {}
