"""Syncs of a bucket: what is fetched, stored, replaced and deleted, and how an interrupted sync continues."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from scheduling.exceptions import QuotaExceededError
from scheduling.kit.base import Complete, Discard, PermanentError, Snoozed, TransientError, Yielded
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import SpaceExceededError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.documents.sources.conftest import (
    BUCKET,
    bucket_source,
    documents_of,
    execute,
    items_of,
    put,
    sync,
)
from workloads.documents.extraction.sniffing import ContentType
from workloads.documents.indexing.service import delete_document
from workloads.documents.indexing.uploads import add_text
from workloads.documents.models import Dataset, Document
from workloads.documents.sources import processor, repository
from workloads.documents.sources.connectors.s3 import S3Connector
from workloads.documents.sources.service import delete_source, update_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the objects that were fetched since it was cleared."""
    names: list[str] = []
    fetch = S3Connector.fetch

    def record(self: S3Connector, item: Any) -> Any:
        names.append(item.key.rsplit("/", 1)[-1])
        return fetch(self, item)

    monkeypatch.setattr(S3Connector, "fetch", record)
    return names


def test_first_sync_adds_a_document_for_each_object(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_txt="Beta.")
    bucket.put_object(Bucket=BUCKET, Key="other/c.txt", Body=b"Gamma.")
    source = bucket_source(dataset, s3_server)
    ran = sync(source)
    assert ran.counts == {
        "source": str(source.pk),
        "listed": 2,
        "new": 2,
        "changed": 0,
        "failed": 0,
        "gone": 0,
        "is_complete": True,
    }
    assert set(documents_of(dataset)) == {"a.txt", "b.txt"}
    with all_tenants():
        assert Job.objects.filter(kind="document_indexing", tenant=dataset.tenant_id).count() == 2
        assert AuditLogEntry.objects.filter(action="document_source.sync_started").count() == 1
    with tenant_context(dataset.tenant_id):
        source.refresh_from_db()
    assert source.synced_at
    assert source.counts["new"] == 2


def test_unchanged_objects_are_not_fetched_again(
    dataset: Dataset, bucket: Any, s3_server: str, fetched: list[str]
) -> None:
    put(bucket, a_txt="Alpha.", b_txt="Beta.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    fetched.clear()
    put(bucket, b_txt="Beta, changed.")
    before = documents_of(dataset)
    ran = sync(source)
    assert fetched == ["b.txt"]
    assert (ran.counts["listed"], ran.counts["new"], ran.counts["changed"]) == (2, 0, 1)
    after = documents_of(dataset)
    assert after["a.txt"] == before["a.txt"]
    assert after["b.txt"] != before["b.txt"]
    assert len(after) == 2


def test_changed_version_with_the_same_content_changes_no_document(
    dataset: Dataset, bucket: Any, s3_server: str
) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    with tenant_context(dataset.tenant_id):
        document = Document.objects.get()
        source.items.update(fetched_version="another")
    assert sync(source).counts["changed"] == 0
    with tenant_context(dataset.tenant_id):
        assert Document.objects.get().job_id == document.job_id
        assert items_of(source)["a.txt"].fetched_version == items_of(source)["a.txt"].version


def test_document_of_an_item_that_is_gone_is_deleted(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_txt="Beta.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    bucket.delete_object(Bucket=BUCKET, Key="docs/a.txt")
    assert sync(source).counts["gone"] == 1
    assert set(documents_of(dataset)) == {"b.txt"}
    assert items_of(source)["a.txt"].state == "gone"
    assert sync(source).counts["gone"] == 0
    put(bucket, a_txt="Alpha.")
    assert sync(source).counts["new"] == 1
    assert set(documents_of(dataset)) == {"a.txt", "b.txt"}
    assert items_of(source)["a.txt"].state == "current"


def test_source_may_keep_documents_of_items_that_are_gone(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_txt="Beta.")
    source = bucket_source(dataset, s3_server, gone_items="keep")
    sync(source)
    bucket.delete_object(Bucket=BUCKET, Key="docs/a.txt")
    assert sync(source).counts["gone"] == 1
    assert set(documents_of(dataset)) == {"a.txt", "b.txt"}
    put(bucket, a_txt="Alpha.")
    sync(source)
    assert items_of(source)["a.txt"].state == "current"
    assert len(documents_of(dataset)) == 2


def test_listing_that_is_cut_deletes_nothing(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_txt="Beta.", c_txt="Gamma.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    bucket.delete_object(Bucket=BUCKET, Key="docs/c.txt")
    with tenant_context(dataset.tenant_id):
        update_source(source_id=source.pk, changes={"max_documents": 1})
    ran = sync(source)
    assert (ran.counts["listed"], ran.counts["gone"], ran.counts["is_complete"]) == (1, 0, False)
    assert len(documents_of(dataset)) == 3


def test_listing_that_fails_deletes_nothing(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    with tenant_context(dataset.tenant_id):
        update_source(source_id=source.pk, changes={"config": source.config | {"bucket": "missing"}})
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == "bucket_missing"
    assert set(documents_of(dataset)) == {"a.txt"}


def test_source_without_any_item_deletes_nothing(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    bucket.delete_object(Bucket=BUCKET, Key="docs/a.txt")
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == "source_empty"
    assert set(documents_of(dataset)) == {"a.txt"}


def test_objects_with_the_same_content_share_a_document_until_the_last_is_gone(
    dataset: Dataset, bucket: Any, s3_server: str
) -> None:
    put(bucket, a_txt="Same.", b_txt="Same.", c_txt="Other.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    assert set(documents_of(dataset)) == {"a.txt", "c.txt"}
    bucket.delete_object(Bucket=BUCKET, Key="docs/a.txt")
    sync(source)
    assert set(documents_of(dataset)) == {"a.txt", "c.txt"}
    bucket.delete_object(Bucket=BUCKET, Key="docs/b.txt")
    sync(source)
    assert set(documents_of(dataset)) == {"c.txt"}


def test_change_of_an_object_leaves_the_document_of_its_twin(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Same.", b_txt="Same.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    put(bucket, a_txt="Another.")
    sync(source)
    items = items_of(source)
    assert items["a.txt"].document_id != items["b.txt"].document_id
    assert items["b.txt"].is_owner
    with tenant_context(dataset.tenant_id):
        assert set(Document.objects.values_list("pk", flat=True)) == {one.document_id for one in items.values()}


def test_renamed_object_keeps_its_document(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    before = items_of(source)["a.txt"].document_id
    put(bucket, z_txt="Alpha.")
    bucket.delete_object(Bucket=BUCKET, Key="docs/a.txt")
    sync(source)
    assert items_of(source)["z.txt"].document_id == before
    assert items_of(source)["z.txt"].is_owner
    assert len(documents_of(dataset)) == 1


def test_document_that_was_uploaded_otherwise_is_never_deleted(
    acme: Tenant, dataset: Dataset, bucket: Any, s3_server: str
) -> None:
    add_text(tenant=acme, dataset=dataset, name="mine.txt", text="Alpha.", content_type=ContentType.TEXT)
    put(bucket, a_txt="Alpha.", b_txt="Beta.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    assert set(documents_of(dataset)) == {"mine.txt", "b.txt"}
    bucket.delete_object(Bucket=BUCKET, Key="docs/a.txt")
    sync(source)
    assert set(documents_of(dataset)) == {"mine.txt", "b.txt"}


def test_document_that_was_deleted_by_hand_returns_with_its_next_change(
    dataset: Dataset, bucket: Any, s3_server: str
) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    with tenant_context(dataset.tenant_id):
        delete_document(document_id=items_of(source)["a.txt"].document_id)
    sync(source)
    assert documents_of(dataset) == {}
    put(bucket, a_txt="Alpha, changed.")
    sync(source)
    assert set(documents_of(dataset)) == {"a.txt"}


def test_errors_of_items_are_stored_and_tried_again(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_png="\x00\x01")
    source = bucket_source(dataset, s3_server, max_file_bytes=100)
    put(bucket, large_txt="x" * 101)
    ran = sync(source)
    assert (ran.counts["new"], ran.counts["failed"]) == (1, 2)
    items = items_of(source)
    assert items["b.png"].error_code == "type_unknown"
    assert items["large.txt"].error_code == "file_too_large"
    with tenant_context(dataset.tenant_id):
        update_source(source_id=source.pk, changes={"max_file_bytes": 1_000})
    assert sync(source).counts["failed"] == 1
    assert items_of(source)["large.txt"].error_code == ""


def test_refused_change_keeps_the_document(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    before = documents_of(dataset)
    put(bucket, a_txt="\x00\x01\x02")
    assert sync(source).counts["failed"] == 1
    assert documents_of(dataset) == before
    assert items_of(source)["a.txt"].state == "error"


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 8, 10, 12])
def test_killed_sync_continues_without_double_documents(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(processor, "BATCH_ITEMS", 2)
    put(bucket, a_txt="Alpha.", b_txt="Beta.", c_txt="Gamma.", d_txt="Delta.", e_txt="Epsilon.")
    source = bucket_source(dataset, s3_server)
    killed = sync(source, interrupted_after=stop)
    assert killed.outcome is None
    with tenant_context(dataset.tenant_id):
        source.refresh_from_db()
    state = killed.runtime.states[-1] if killed.runtime.states else None
    again = execute(source, job_id=source.job_id, state=state)
    assert isinstance(again.outcome, Complete), again.error
    assert again.counts["listed"] == again.counts["new"] == 5
    assert set(documents_of(dataset)) == {"a.txt", "b.txt", "c.txt", "d.txt", "e.txt"}
    with all_tenants():
        assert Job.objects.filter(kind="document_indexing", tenant=dataset.tenant_id).count() == 5


def test_kill_between_the_document_and_its_item_leaves_neither(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    store = repository._store

    def die_after(*arguments: Any) -> None:
        store(*arguments)
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(repository, "_store", die_after)
        with pytest.raises(ConnectionError):
            sync(source)
    assert documents_of(dataset) == {}
    sync(source)
    assert set(documents_of(dataset)) == {"a.txt"}


def test_job_yields_and_continues_in_the_same_sync(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.", b_txt="Beta.")
    source = bucket_source(dataset, s3_server)
    first = sync(source, yields_after=1)
    assert isinstance(first.outcome, Yielded)
    with tenant_context(dataset.tenant_id):
        source.refresh_from_db()
    again = execute(source, job_id=source.job_id, state=first.outcome.state)
    assert again.counts["new"] == 2
    with tenant_context(dataset.tenant_id):
        source.refresh_from_db()
    assert source.sync_number == 1


def test_second_sync_of_a_source_is_skipped_while_one_waits(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)
    sync(source)
    assert execute(source, job_id=uuid4()).counts == {"source": str(source.pk), "skipped": True}


def test_sync_of_a_disabled_source_is_skipped(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    source = bucket_source(dataset, s3_server, is_enabled=False)
    assert execute(source, job_id=uuid4()).counts["skipped"]


def test_sync_of_a_deleted_source_is_discarded(dataset: Dataset, bucket: Any, s3_server: str) -> None:
    source = bucket_source(dataset, s3_server)
    with tenant_context(dataset.tenant_id):
        delete_source(source_id=source.pk)
        source.pk = uuid4()
    assert isinstance(execute(source, job_id=uuid4()).outcome, Discard)


def test_full_queue_makes_the_sync_wait(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)

    def refuse(**_: Any) -> None:
        raise QuotaExceededError(retry_after_seconds=7)

    with monkeypatch.context() as patched:
        patched.setattr(repository, "upload_documents", refuse)
        ran = sync(source)
    assert isinstance(ran.outcome, Snoozed)
    assert ran.outcome.seconds == 7
    with tenant_context(dataset.tenant_id):
        source.refresh_from_db()
    assert execute(source, job_id=source.job_id, state=ran.outcome.state).counts["new"] == 1


def test_full_storage_ends_the_sync_with_a_named_error(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_txt="Alpha.")
    source = bucket_source(dataset, s3_server)

    def refuse(**_: Any) -> None:
        raise SpaceExceededError

    monkeypatch.setattr(repository, "upload_documents", refuse)
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == "space_exceeded"


def test_transient_error_of_a_listing_fails_the_attempt(
    dataset: Dataset, bucket: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bucket_source(dataset, s3_server)

    def fail(*_: Any) -> None:
        raise TransientError("The server is away.", code="http_503")

    monkeypatch.setattr(S3Connector, "list_items", fail)
    with pytest.raises(TransientError):
        sync(source)
