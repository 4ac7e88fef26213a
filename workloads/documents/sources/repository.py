"""What the job of a sync reads and writes: its source, the items that were listed, and their documents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.db.models import Count, F, Q
from django.db.models.functions import Now

from tenants.context import tenant_context
from tenants.database.ids import id_of
from tenants.models import Tenant
from workloads.documents.indexing.exceptions import DocumentDuplicateError, DocumentNotFoundError
from workloads.documents.indexing.reindexing import replace_document
from workloads.documents.indexing.service import delete_document
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.models import Document
from workloads.documents.sources.connector import FetchedItem, ListedItem
from workloads.documents.sources.models import MAX_VERSION_LENGTH, ContentSource, GoneItems, ItemState, SourceItem
from workloads.documents.sources.queries import is_syncing


class SourceGoneError(Exception):
    """Raised if a source was deleted."""


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync of a source. ``number`` counts the syncs of the source."""

    source: ContentSource
    tenant: Tenant
    number: int


def datasets_of(source_ids: Sequence[object]) -> list[UUID | None]:
    """Return for each value from outside the dataset of the source that it names, None if it names none."""
    named = [id_of(value) for value in source_ids]
    rows = ContentSource.objects.filter(pk__in={value for value in named if value}).values_list("pk", "dataset_id")
    found = dict(rows)
    return [found.get(value) if value else None for value in named]


def begin_sync(tenant_id: UUID, source_id: UUID, *, job_id: UUID, number: int | None) -> Sync | None:
    """Return the sync of a job: a new one, or the one with ``number`` that the job has begun.

    Return None if the source is disabled, or if the job of another sync has not ended. Raise `SourceGoneError`.
    """
    with tenant_context(tenant_id):
        rows = ContentSource.objects.select_related("dataset").select_for_update(no_key=True, of=("self",))
        source = rows.filter(pk=source_id).first()
        if source is None:
            raise SourceGoneError(f"There is no document source {source_id}.")
        is_own = source.job_id == job_id
        if not (is_own and source.sync_number == number):
            is_busy = not is_own and is_syncing(source_id)
            if is_busy or not source.is_enabled:
                return None
            source.job_id, source.sync_number = job_id, source.sync_number + 1
            source.save(update_fields=["job_id", "sync_number"])
        tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
    return Sync(source, tenant, source.sync_number)


def mark_listed(sync: Sync, items: Sequence[ListedItem]) -> None:
    """Store that a listing has these items, in the current transaction."""
    rows = [
        SourceItem(
            tenant_id=sync.tenant.pk,
            source=sync.source,
            dataset_id=sync.source.dataset_id,
            key=item.key,
            version=item.version[:MAX_VERSION_LENGTH],
            seen_in=sync.number,
        )
        for item in items
    ]
    SourceItem.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant", "source", "key"],
        update_fields=["version", "seen_in"],
    )


def find_due(sync: Sync, *, limit: int) -> list[SourceItem]:
    """Return items to fetch: listed in this sync, not checked in it, and new, changed, failed, or without a version."""
    with tenant_context(sync.tenant.pk):
        return list(_due(sync).order_by("id")[:limit])


def count_due(sync: Sync) -> int:
    """Return how many items are to be fetched."""
    with tenant_context(sync.tenant.pk):
        return int(_due(sync).count())


def find_missed(sync: Sync, *, limit: int) -> list[SourceItem]:
    """Return items that this sync has not listed and that do not count as gone yet."""
    with tenant_context(sync.tenant.pk):
        missed = SourceItem.objects.filter(source=sync.source, seen_in__lt=sync.number)
        return list(missed.exclude(state=ItemState.GONE).order_by("id")[:limit])


def apply_content(sync: Sync, item_id: UUID, version: str, found: FetchedItem) -> None:
    """Make a new or changed content the document of its item, in one transaction, unless this sync has done so.

    Raise the errors of `upload_documents` and `replace_document`; then nothing has changed.
    """
    digest = hashlib.sha256(found.data).hexdigest()
    with tenant_context(sync.tenant.pk):
        item = _lock_unchecked(sync, item_id)
        if item is None:
            return
        if item.sha256 != digest:
            _store(sync, item, found)
            item.sha256, item.changed_in, item.changed_at = digest, sync.number, Now()
            item.added_in = item.added_in or sync.number
        item.fetched_version, item.state, item.checked_in = version, ItemState.CURRENT, sync.number
        item.error_code = item.error_message = ""
        item.save()


def store_error(sync: Sync, item_id: UUID, *, code: str, message: str) -> None:
    """Store the error of an item; its document stays as it is."""
    with tenant_context(sync.tenant.pk):
        if (item := _lock_unchecked(sync, item_id)) is not None:
            item.state, item.checked_in = ItemState.ERROR, sync.number
            item.error_code, item.error_message = code[:64], message
            item.save()


def bury(sync: Sync, item_id: UUID) -> None:
    """Mark an item as gone and, if the source says so, delete its document."""
    with tenant_context(sync.tenant.pk):
        item = SourceItem.objects.select_for_update(no_key=True).filter(pk=item_id, seen_in__lt=sync.number).first()
        if item is None or item.state == ItemState.GONE:
            return
        if sync.source.gone_items == GoneItems.DELETE:
            _release(sync, item)
            item.document_id, item.is_owner, item.sha256, item.added_in = None, False, "", 0
        item.state, item.changed_in, item.changed_at = ItemState.GONE, sync.number, Now()
        item.error_code = item.error_message = ""
        item.save()


def complete_sync(sync: Sync, *, is_complete: bool) -> dict[str, Any]:
    """Store that a sync has ended, and return its counts. ``is_complete``: its listing had all items."""
    listed, changed = Q(seen_in=sync.number), Q(changed_in=sync.number)
    is_gone, is_new = Q(state=ItemState.GONE), Q(added_in=sync.number)
    with tenant_context(sync.tenant.pk):
        counts = SourceItem.objects.filter(source=sync.source).aggregate(
            listed=Count("pk", filter=listed),
            new=Count("pk", filter=changed & is_new & ~is_gone),
            changed=Count("pk", filter=changed & ~is_new & ~is_gone),
            failed=Count("pk", filter=listed & Q(state=ItemState.ERROR)),
            gone=Count("pk", filter=changed & is_gone),
        )
        counts["is_complete"] = is_complete
        done = ContentSource.objects.filter(pk=sync.source.pk, sync_number=sync.number)
        done.update(synced_at=Now(), counts=counts)
    return counts


def _due(sync: Sync) -> Any:
    is_due = ~Q(state=ItemState.CURRENT) | Q(version="") | ~Q(version=F("fetched_version"))
    return SourceItem.objects.filter(is_due, source=sync.source, seen_in=sync.number, checked_in__lt=sync.number)


def _lock_unchecked(sync: Sync, item_id: UUID) -> SourceItem | None:
    rows = SourceItem.objects.select_for_update(no_key=True)
    found: SourceItem | None = rows.filter(pk=item_id, checked_in__lt=sync.number).first()
    return found


def _store(sync: Sync, item: SourceItem, found: FetchedItem) -> None:
    """Replace the item's document if no other item has it, else upload the content."""
    file = ContentFile(found.data, name=found.name)
    own = item.document_id if item.is_owner and not _sharers(item).exists() else None
    if own is not None and Document.objects.filter(pk=own).exists():
        try:
            reason = _reason(sync, "changed in")
            replace_document(tenant=sync.tenant, document_id=own, file=file, is_rate_limited=True, reason=reason)
        except DocumentDuplicateError:
            # Another document of the dataset has this content: the item shares it.
            pass
        else:
            return
    uploaded = upload_documents(tenant=sync.tenant, dataset=sync.source.dataset, files=[file], is_rate_limited=True)
    _release(sync, item)
    item.document_id = uploaded.files[0].document.pk
    item.is_owner = not uploaded.files[0].is_duplicate


def _release(sync: Sync, item: SourceItem) -> None:
    """Delete the document of an item that owns it, or make another item that shares it the owner."""
    if not item.is_owner or item.document_id is None:
        return
    heir = _sharers(item).order_by("id").first()
    if heir is not None:
        SourceItem.objects.filter(pk=heir.pk).update(is_owner=True)
        return
    # It may have been deleted by hand.
    with suppress(DocumentNotFoundError):
        delete_document(document_id=item.document_id, reason=_reason(sync, "gone from"))


def _sharers(item: SourceItem) -> Any:
    return SourceItem.objects.filter(document_id=item.document_id).exclude(pk=item.pk)


def _reason(sync: Sync, what: str) -> str:
    return f"Its item has {what} the source {sync.source.name}."
