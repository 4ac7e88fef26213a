"""Taking an upload: all of its files or none, one job a document, nothing indexed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.core.files.base import File

from scheduling.processors.document_indexing.inspection import inspect_documents
from scheduling.processors.document_indexing.processor import DocumentIndexing
from scheduling.processors.files.incoming import IncomingFile
from scheduling.processors.files.store import NewContent, lock_contents, storage_key, store_contents, taking_back
from scheduling.processors.retrieval.batch_limit import check_batch_limit
from scheduling.processors.retrieval.exceptions import DatasetNotFoundError
from scheduling.processors.retrieval.limits import VECTOR_CHUNKS
from scheduling.processors.retrieval.models import Dataset, Document
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import create_batch, submit_jobs
from tenants.context import tenant_context
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.services.audit import part_of_act, record_audit
from tenants.services.usage import check_room


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of an upload and its document, which is an earlier one's where the content was there already."""

    name: str
    document: Document
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of an upload; ``batch_id`` is None when every file was there already."""

    batch_id: UUID | None
    files: list[UploadedFile]


def upload_documents(
    *, tenant: Tenant, dataset: Dataset, files: Sequence[File[bytes]], is_rated: bool = False
) -> Upload:
    """Take files into a dataset and submit a job for each new content; ``is_rated`` as submission has it.

    Raises BatchTooLargeError, UploadRefusedError, SpaceExceededError, or what submission refuses; then nothing
    was taken.
    """
    with taking_back(tenant.pk) as written, tenant_context(tenant):
        check_batch_limit(tenant, len(files))
        return _take(tenant, dataset, inspect_documents(files), written, is_rated=is_rated)


def _take(
    tenant: Tenant, dataset: Dataset, incoming: Sequence[IncomingFile], written: list[str], *, is_rated: bool
) -> Upload:
    dataset = _lock_dataset(dataset)
    keys = {file.sha256: storage_key(tenant.pk, file.sha256) for file in incoming}
    lock_contents(keys.values())
    known = {
        document.sha256: document
        for document in Document.objects.filter(
            dataset=dataset, settings_key=dataset.settings_key, sha256__in=list(keys)
        )
    }
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
        with part_of_act():
            batch_id, created = _submit(tenant, dataset, fresh, keys, is_rated=is_rated)
    record_audit(
        action="documents.uploaded",
        target=dataset,
        after={"files": len(incoming), "new": len(created), "batch": str(batch_id) if batch_id else None},
    )
    documents = known | created
    firsts = {id(file) for file in fresh.values()}
    return Upload(
        batch_id,
        [UploadedFile(file.name, documents[file.sha256], id(file) not in firsts) for file in incoming],
    )


def _lock_dataset(dataset: Dataset) -> Dataset:
    """The dataset as it is now, kept from changing or going until the documents refer to it."""
    locked: Dataset | None = Dataset.objects.select_for_update(no_key=True).filter(pk=dataset.pk).first()
    if locked is None:
        raise DatasetNotFoundError
    return locked


def _submit(
    tenant: Tenant, dataset: Dataset, fresh: dict[str, IncomingFile], keys: dict[str, str], *, is_rated: bool
) -> tuple[UUID, dict[str, Document]]:
    label = f"{len(fresh)} document{'' if len(fresh) == 1 else 's'} into {dataset.name}"
    batch = create_batch(tenant=tenant, label=label, kind=DocumentIndexing.kind, total=len(fresh))
    ids = {sha256: uuid7() for sha256 in fresh}
    requests = [
        JobRequest(kind=DocumentIndexing.kind, payload={"document_id": str(document_id)})
        for document_id in ids.values()
    ]
    answer = submit_jobs(tenant=tenant, requests=requests, batch=batch, is_rated=is_rated, is_whole=True)
    jobs = {index: submission.job for index, submission in answer.accepted}
    documents = {
        sha256: Document(
            id=ids[sha256],
            tenant=tenant,
            dataset=dataset,
            name=file.name,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=sha256,
            settings_key=dataset.settings_key,
            storage_key=keys[sha256],
            job_id=jobs[index].pk,
            batch_id=batch.pk,
        )
        for index, (sha256, file) in enumerate(fresh.items())
    }
    Document.objects.bulk_create(documents.values())
    return batch.pk, documents
