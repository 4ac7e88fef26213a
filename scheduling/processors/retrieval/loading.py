"""Loading prepared passages into a dataset as a document, by whichever job has prepared them. Effects: they run in the
transaction that also says that they were done.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from scheduling.processors.retrieval import repository
from scheduling.processors.retrieval.models import Dataset, Document, DocumentStatus
from scheduling.processors.retrieval.repository import DocumentSource


@dataclass(frozen=True, slots=True)
class LoadedContent:
    """What a document is made of; with an equal ``settings_key`` equal contents have equal chunks."""

    name: str
    content_type: str
    size_bytes: int
    sha256: str
    storage_key: str
    settings_key: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A document that takes passages from ``source.chunks_done`` on; ``is_complete``: it has them all already."""

    source: DocumentSource
    is_complete: bool


def open_document(
    content: LoadedContent, *, dataset_id: UUID, job_id: UUID, batch_id: UUID, digest: str, total: int
) -> Opened:
    """Effect: the dataset has a document for the content, which is this job's, and room for all of its chunks.

    The same content cut the same way is one document: it is found again, and goes on where another job left it. The
    content is referred to by a row of the caller's until here. Raises SpaceExceededError.
    """
    dataset = Dataset.objects.select_for_update(no_key=True).get(pk=dataset_id)
    # What was fetched from an address is that address's, whatever it holds.
    found = Document.objects.filter(
        dataset=dataset, sha256=content.sha256, settings_key=content.settings_key, source_url=""
    )
    document = found.select_for_update(no_key=True).first()
    if document is None:
        document = Document(
            tenant_id=dataset.tenant_id,
            dataset=dataset,
            name=content.name,
            content_type=content.content_type,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            settings_key=content.settings_key,
            storage_key=content.storage_key,
            job_id=job_id,
            batch_id=batch_id,
        )
        document.save(force_insert=True)
    source = repository.source_of(document, job_id=job_id)
    if document.status == DocumentStatus.COMPLETED:
        return Opened(source, is_complete=True)
    repository.take_over(source)
    if document.passages_digest == digest:
        repository.resume_chunks(source)
    else:
        repository.begin_chunks(source, digest=digest, total=total)
        document.chunks_done = 0
    return Opened(repository.source_of(document, job_id=job_id), is_complete=False)
