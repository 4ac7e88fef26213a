"""Uploads of documents. All files are accepted or none, one job indexes each, and no content is indexed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile, File

from scheduling.kit.http import read_target
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.limits.usage import check_room
from tenants.models import Tenant
from workloads.documents.batch_limit import check_batch_limit
from workloads.documents.extraction.sniffing import ContentType
from workloads.documents.indexing.inspection import check_chunks, estimate_chunks, inspect_documents
from workloads.documents.indexing.intake import check_encoding, label_of, submit_documents
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.documents.metadata import check_metadata
from workloads.documents.models import Dataset, Document, index_values
from workloads.documents.queries import lock_dataset
from workloads.files.contents import NewContent
from workloads.files.incoming import MAX_NAME_LENGTH, IncomingFile
from workloads.files.store import discard_on_error, lock_contents, storage_key, store_contents


@dataclass(frozen=True, slots=True)
class DocumentUpload:
    """One file of an upload and its document. If ``is_duplicate``, the dataset had its content already.

    ``chunks_estimated`` is None if the file does not show it.
    """

    name: str
    document: Document
    is_duplicate: bool
    chunks_estimated: int | None = None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The result of an upload. ``batch_id`` is None if the dataset had every file already."""

    batch_id: UUID | None
    files: list[DocumentUpload]


@dataclass(frozen=True, slots=True)
class _Given:
    """What a request gives for each of its new documents."""

    metadata: Any
    encoding: str = ""


def upload_documents(
    *,
    tenant: Tenant,
    dataset: Dataset,
    files: Sequence[File[bytes]],
    encoding: str = "",
    metadata: object = None,
    is_rate_limited: bool = False,
) -> UploadResult:
    """Add files to a dataset, and submit a job for each file with new content.

    ``encoding`` is that of files of text; if it is empty, it is detected. ``metadata`` are the values of each new
    document. ``is_rate_limited`` is passed on to `submit_jobs`. Raise `BatchTooLargeError`, `UploadRefusedError`,
    `SpaceExceededError`, `DatasetArchivedError`, `FieldInvalidError` for an unknown encoding or faulty metadata, or the
    errors of `submit_jobs`; then nothing is stored.
    """
    encoding = check_encoding(encoding)
    with discard_on_error(tenant.pk) as written, tenant_context(tenant):
        check_batch_limit(tenant, len(files))
        incoming = inspect_documents(files)
        given = _Given(metadata, encoding)
        return _take(tenant, dataset, incoming, written, given, is_rate_limited=is_rate_limited)


def add_text(
    *,
    tenant: Tenant,
    dataset: Dataset,
    name: str,
    text: str,
    content_type: ContentType,
    metadata: object = None,
    is_rate_limited: bool = False,
) -> UploadResult:
    """Add a text to a dataset, as a file of this type. It raises the same errors as `upload_documents`."""
    data = text.encode()
    file = IncomingFile(name, content_type, len(data), hashlib.sha256(data).hexdigest(), ContentFile(data))
    with discard_on_error(tenant.pk) as written, tenant_context(tenant):
        return _take(tenant, dataset, [file], written, _Given(metadata), is_rate_limited=is_rate_limited)


def add_address(
    *,
    tenant: Tenant,
    dataset: Dataset,
    url: str,
    name: str = "",
    metadata: object = None,
    is_rate_limited: bool = False,
) -> UploadResult:
    """Add the page or file at a URL to a dataset. Its job fetches it. A dataset has each URL only once.

    Raise `UrlRefusedError` for an invalid URL, `FieldInvalidError` for faulty metadata, `SpaceExceededError`, or the
    errors of `submit_jobs`.
    """
    target = read_target(url)
    with tenant_context(tenant):
        dataset = lock_dataset(dataset.pk)
        values = given_metadata(dataset, metadata)
        known = Document.objects.filter(dataset=dataset, source_url=url).first()
        if known is not None:
            return UploadResult(None, [DocumentUpload(known.name, known, is_duplicate=True)])
        check_room(tenant_id=tenant.pk, limit=VECTOR_CHUNKS)
        document = Document(
            tenant=tenant,
            dataset=dataset,
            name=name or name_of_address(target.shown),
            size_bytes=0,
            settings_key=dataset.settings_key,
            source_url=url,
            is_fetch_due=True,
            metadata=values,
        )
        with suppress_nested_entries():
            batch_id = _submit(tenant, dataset, [document], is_rate_limited=is_rate_limited)
        after = {"files": 1, "new": 1, "batch": str(batch_id), "address": target.shown}
        record_audit(action="documents.uploaded", target=dataset, after=after)
    return UploadResult(batch_id, [DocumentUpload(document.name, document, is_duplicate=False)])


def given_metadata(dataset: Dataset, given: object) -> dict[str, Any]:
    """Return the values of a new document, without those that are None; raise `FieldInvalidError` for faulty ones."""
    values = check_metadata(dataset.fields, {} if given is None else given)
    return {name: value for name, value in values.items() if value is not None}


def name_of_address(shown: str) -> str:
    """Return the name of a document that is made from its URL; ``shown`` is the URL without its query."""
    return shown.partition("://")[2].rstrip("/")[-MAX_NAME_LENGTH:] or shown


def _take(
    tenant: Tenant,
    dataset: Dataset,
    incoming: Sequence[IncomingFile],
    written: list[str],
    given: _Given,
    *,
    is_rate_limited: bool,
) -> UploadResult:
    dataset = lock_dataset(dataset.pk)
    given = replace(given, metadata=given_metadata(dataset, given.metadata))
    check_chunks(tenant, dataset, incoming)
    keys = {file.sha256: storage_key(tenant.pk, file.sha256) for file in incoming}
    lock_contents(keys.values())
    known = _known_documents(dataset, keys)
    fresh: dict[str, IncomingFile] = {}
    for file in incoming:
        if file.sha256 not in known:
            fresh.setdefault(file.sha256, file)
    batch_id = None
    created: dict[str, Document] = {}
    if fresh:
        check_room(tenant_id=tenant.pk, limit=VECTOR_CHUNKS)
        contents = [NewContent(sha256, file.size_bytes, file.content) for sha256, file in fresh.items()]
        store_contents(tenant.pk, contents, written=written)
        created = {sha256: _make(tenant, dataset, file, keys[sha256], given) for sha256, file in fresh.items()}
        with suppress_nested_entries():
            batch_id = _submit(tenant, dataset, list(created.values()), is_rate_limited=is_rate_limited)
    record_audit(
        action="documents.uploaded",
        target=dataset,
        after={"files": len(incoming), "new": len(created), "batch": str(batch_id) if batch_id else None},
    )
    firsts = {id(file) for file in fresh.values()}
    return UploadResult(batch_id, _describe_uploads(dataset, incoming, known | created, firsts))


def _known_documents(dataset: Dataset, hashes: Collection[str]) -> dict[str, Document]:
    """Return the documents of the dataset that were made of these contents with its current settings."""
    rows = Document.objects.filter(
        dataset=dataset, settings_key=dataset.settings_key, sha256__in=list(hashes), source_url=""
    )
    return {document.sha256: document for document in rows}


def _describe_uploads(
    dataset: Dataset, incoming: Sequence[IncomingFile], documents: Mapping[str, Document], firsts: Collection[int]
) -> list[DocumentUpload]:
    return [
        DocumentUpload(
            file.name,
            documents[file.sha256],
            is_duplicate=id(file) not in firsts,
            chunks_estimated=estimate_chunks(file, dataset.split_settings),
        )
        for file in incoming
    ]


def _make(tenant: Tenant, dataset: Dataset, file: IncomingFile, key: str, given: _Given) -> Document:
    return Document(
        tenant=tenant,
        dataset=dataset,
        name=file.name,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        settings_key=dataset.settings_key,
        storage_key=key,
        given_encoding=given.encoding,
        metadata=given.metadata,
    )


def _submit(tenant: Tenant, dataset: Dataset, documents: list[Document], *, is_rate_limited: bool) -> UUID:
    batch_id = submit_documents(
        tenant, documents, label=label_of(len(documents), dataset), is_rate_limited=is_rate_limited
    )
    for document in documents:
        document.batch_id = batch_id
    Document.objects.bulk_create(documents)
    index_values(documents)
    return batch_id
