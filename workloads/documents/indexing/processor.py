"""The processor of the kind `document_indexing`: fetch → extract → clean → split → embed → store → summarize.

Each chunk is stored exactly once, also if the job is interrupted and continues.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import (
    Complete,
    Discard,
    Effects,
    JobContext,
    Outcome,
    PermanentError,
    Snoozed,
    Suspended,
    TaskProcessor,
    Yielded,
)
from scheduling.kit.http import Limits
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import SpaceExceededError
from workloads.documents import repository
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.embedding_models import embedder_of, load_embedder
from workloads.documents.exceptions import BatchTooLargeError, DocumentGoneError
from workloads.documents.extraction.errors import SandboxUnavailableError
from workloads.documents.extraction.limits import ParsingLimits
from workloads.documents.indexing.phase_progress import PhaseProgress
from workloads.documents.indexing.summary import add_summary
from workloads.documents.indexing.tenant_settings import MAX_CHUNKS, MAX_PERCENT_WITHOUT_TEXT
from workloads.documents.models import DocumentStatus
from workloads.documents.one_item import steps, storing
from workloads.documents.one_item.item import IndexingItem, IndexingSettings, IndexingState
from workloads.documents.one_item.steps import EmbeddedBatch, StepContext
from workloads.documents.repository import DocumentSource
from workloads.files.incoming import MAX_FILE_BYTES
from workloads.files.store import store_bytes
from workloads.model_endpoints.usage import AnsweredRequest, record_usage

# Codes of permanent errors, beside those of files. Each is stable.
GONE = "document_gone"
OVER_BATCH_LIMIT = "batch_too_large"
OVER_VECTOR_SPACE = "vector_space_exceeded"
# Chunks embedded and stored at a time: the work that a crash repeats, and the delay of a cancel or a pause (about 0.4
# s).
BATCH_CHUNKS = 32
_PAGE_LIMITS = Limits(read_seconds=30.0, total_seconds=120.0, body_bytes=MAX_FILE_BYTES, redirects=5)


class DocumentIndexing(TaskProcessor):
    """Processor of the kind `document_indexing`. Each job indexes one document."""

    kind = "document_indexing"
    memory_class = "medium"
    title = gettext_noop("Document indexing")
    description = gettext_noop("Makes an uploaded file searchable.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"document_id": {"type": "string", "format": "uuid", "maxLength": 36}},
        "required": ["document_id"],
        "additionalProperties": False,
    }
    timeout_seconds = 900.0
    settings = (MAX_CHUNKS.key, MAX_PERCENT_WITHOUT_TEXT.key)

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model in the worker's parent process, so that its children share the memory."""
        load_embedder()

    @classmethod
    def subjects_of(cls, payloads: Sequence[Mapping[str, Any]]) -> Sequence[UUID | None]:
        """Return the datasets of the documents: their labels limit the regions."""
        return repository.datasets_of([payload.get("document_id") for payload in payloads])

    def process(self, context: JobContext) -> Outcome:
        source = read_source(context)
        if source.status is DocumentStatus.COMPLETED:
            return Complete({"document": str(source.id), "chunks": source.chunks_done})
        phases = PhaseProgress(context, source)
        phases.begin()
        check_still_allowed(context, source)
        if source.is_pause_asked:
            return Suspended(context.state)
        step_context = StepContext(context.should_yield, context.dependency)
        item, embedder = item_of(context, source), embedder_of(context.tenant_id, source.embedding_model)
        if source.is_fetch_due:
            item = fetch_content(context, item, step_context)
            phases.enter(DocumentStatus.PARSING)
        item = prepare(context, item, step_context, phases)
        return index(context, item, embedder, step_context, phases)

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Store the error with the document. Whether the job is retried is decided by the platform's policy (None).

        A job whose document is gone is discarded; one whose host has no sandbox waits for another worker.
        """
        if isinstance(error, DocumentGoneError):
            return Discard(str(error), PermanentError(str(error), code=GONE))
        code = getattr(error, "code", type(error).__name__)
        note = repository.fail if isinstance(error, PermanentError) else repository.await_retry
        try:
            source = read_source(context)
            context.checkpoint(context.state, lambda: note(source, code=code, message=str(error)))
        except DocumentGoneError as gone:
            return Discard(str(gone), PermanentError(str(gone), code=GONE))
        return error.wait_from(context.state) if isinstance(error, SandboxUnavailableError) else None


def read_source(context: JobContext) -> DocumentSource:
    """Return what the job needs to know of its document; raise `DocumentGoneError` if it was deleted."""
    document_id = UUID(context.payload["document_id"])
    return repository.read_source(context.tenant_id, document_id, job_id=context.job_id)


def item_of(context: JobContext, source: DocumentSource) -> IndexingItem:
    """Return the document as an item for the indexing steps. Its content is not read yet."""
    return IndexingItem(
        tenant_id=context.tenant_id,
        name=source.name,
        # The name of a page is made from its address, or is any text.
        file_name="" if source.source_url else source.name,
        settings=IndexingSettings(
            source.split_settings,
            encoding=source.given_encoding,
            batch_size=BATCH_CHUNKS,
            max_chunks=context.setting(MAX_CHUNKS.key),
            max_percent_without_text=context.setting(MAX_PERCENT_WITHOUT_TEXT.key),
            parsing=ParsingLimits(reads_comments=source.reads_comments).with_ocr(
                platform_settings.DOCUMENTS_OCR, source.max_ocr_pages
            ),
        ),
        embedding_model=source.embedding_model,
        state=IndexingState(
            content_key=source.storage_key,
            content_sha256=source.sha256,
            content_type=source.content_type,
            size_bytes=source.size_bytes,
            document_id=source.id,
        ),
        source=source,
        summary_model=source.summary_model,
    )


def check_still_allowed(context: JobContext, source: DocumentSource) -> None:
    """Raise `PermanentError` if the plan no longer allows to index the document.

    The number of files in the batch is not checked for a document that is indexed again.
    """
    try:
        if not source.kept_chunks:
            repository.check_batch(context.tenant_id, source.batch_id)
    except BatchTooLargeError as error:
        raise PermanentError(str(error), code=OVER_BATCH_LIMIT) from error


def fetch_content(context: JobContext, item: IndexingItem, step_context: StepContext) -> IndexingItem:
    """Fetch the document's URL, store the response as the document's content, and return the item with it."""
    source = item.document
    item = steps.fetch_page(item, source.source_url, step_context, limits=_PAGE_LIMITS)
    content_type, data = item.state.content_type, item.data or b""
    address = urlsplit(source.source_url)._replace(query="", fragment="").geturl()
    context.log("fetched", address=address, content_type=content_type, bytes=len(data))
    content = store_bytes(context.tenant_id, data)
    context.checkpoint(context.state, lambda: repository.take_content(source, content, content_type=content_type))
    return storing.with_content(item, content)


def prepare(context: JobContext, item: IndexingItem, step_context: StepContext, phases: PhaseProgress) -> IndexingItem:
    """Return the item with its passages: extract, clean and split its content, each as a phase of the document."""
    item = steps.extract(item, step_context)
    facts = item.facts
    context.log("extracted", file=item.name, blocks=len(item.blocks), pages=facts.pages, encoding=facts.encoding)
    for warning in facts.warnings:
        context.log("warning", level="warning", text=warning)
    phases.enter(DocumentStatus.CLEANING)
    item = steps.clean(item)
    phases.enter(DocumentStatus.SPLITTING)
    item = steps.split(item)
    context.log("split", chunks=len(item.passages), chunk_tokens=item.settings.split_settings.chunk_size)
    return item


def index(
    context: JobContext, item: IndexingItem, embedder: Embedder, step_context: StepContext, phases: PhaseProgress
) -> Outcome:
    """Embed and store the passages that are not stored yet, batch by batch. Return the outcome of the job."""
    item, put_off = begin(context, item, phases, is_remote=embedder.dependency is not None)
    refusal = ""
    while not item.is_whole:
        try:
            if item.is_summary_due:
                item, refusal = add_summary(context, item)
                if refusal:
                    break
            batch = steps.embed(item, embedder, step_context, storing.read_known_vectors(item))
        except EndpointRateLimitedError as limited:
            # The endpoint works and limits its rate: the job gives up its slot for a while and uses no attempt.
            context.log("rate_limited", level="warning", seconds=limited.seconds)
            return Snoozed(item.state.as_json(), limited.seconds)
        item, is_pause_asked = store_batch(context, item, batch, put_off, embedder.take_usage())
        put_off = None
        # Only here: each start extracts the whole file again, so each must store at least one batch.
        if item.is_whole:
            break
        if is_pause_asked:
            return Suspended(item.state.as_json())
        if context.should_yield():
            return Yielded(item.state.as_json())
    context.log("indexed", chunks=len(item.passages))
    context.in_settlement(lambda: storing.complete(item, refusal=refusal))
    return Complete({"document": str(item.state.document_id), "chunks": len(item.passages)})


def begin(
    context: JobContext, item: IndexingItem, phases: PhaseProgress, *, is_remote: bool
) -> tuple[IndexingItem, Effects | None]:
    """Begin or resume storing the chunks of the document. Return the item, and a function to call with the first batch.

    That function is None unless the beginning needs no transaction of its own. Where to resume is read from the
    document, which is updated in the transactions that store its chunks; it applies if the passages are the same as
    then.
    """

    def effects() -> None:
        if not item.is_resumed:
            phases.write()
        storing.begin(item, seconds=time.monotonic() - began)

    began = time.monotonic()
    begun = item.begun()
    if item.is_resumed:
        context.log("resumed", chunks_done=begun.state.chunks_done, of=len(begun.passages))
    elif len(item.passages) <= item.settings.batch_size and not is_remote:
        # The only batch, and embedded here: nothing would be visible between its beginning and its end.
        return begun, effects
    checkpoint(context, begun, effects)
    return begun, None


def store_batch(
    context: JobContext,
    item: IndexingItem,
    batch: EmbeddedBatch,
    put_off: Effects | None,
    usage: Sequence[AnsweredRequest],
) -> tuple[IndexingItem, bool]:
    """Store a batch of chunks, after calling ``put_off``, and count the requests that embedded it.

    Return the item after it, and whether a pause was requested.
    """
    stored = item.with_progress(len(batch.passages))
    asked: list[bool] = []

    def effects() -> None:
        repository.require_held_model(item.document)
        if put_off is not None:
            put_off()
        asked.append(storing.store_batch(item, batch))
        record_usage(context.tenant_id, usage)

    checkpoint(context, stored, effects)
    done, total = stored.state.chunks_done, len(stored.passages)
    context.log("embedded", chunks=done, of=total, reused=batch.reused)
    context.report_progress(done, total, f"{item.name}: indexing")
    return stored, asked[-1]


def checkpoint(context: JobContext, item: IndexingItem, effects: Effects) -> None:
    """Call ``effects`` in a transaction that stores the item's state as the job's checkpoint.

    Raise `PermanentError` if the tenant has no room for the chunks.
    """
    try:
        context.checkpoint(item.state.as_json(), effects)
    except SpaceExceededError as error:
        raise PermanentError(str(error), code=OVER_VECTOR_SPACE) from error
