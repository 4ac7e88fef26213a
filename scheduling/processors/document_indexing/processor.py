"""One document: extract → clean → split → embed → load, each chunk stored exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from scheduling.processors.base import (
    Complete,
    Discard,
    JobContext,
    Outcome,
    PermanentError,
    Snoozed,
    Suspended,
    TaskProcessor,
    Yielded,
)
from scheduling.processors.document_indexing.errors import (
    GONE,
    MODEL_CHANGED,
    OVER_BATCH_LIMIT,
)
from scheduling.processors.document_indexing.fetching import fetch_content
from scheduling.processors.document_indexing.phases import Phases
from scheduling.processors.document_indexing.storing import PassageStore
from scheduling.processors.document_indexing.tenant_settings import MAX_CHUNKS
from scheduling.processors.files.store import fetch
from scheduling.processors.retrieval import repository
from scheduling.processors.retrieval.cleaning import clean_blocks
from scheduling.processors.retrieval.embedding import RateLimitedError, current_model_name, get_embedder
from scheduling.processors.retrieval.exceptions import BatchTooLargeError, DocumentGoneError
from scheduling.processors.retrieval.extraction.errors import (
    FileTooComplexError,
    FileWithoutTextError,
    SandboxUnavailableError,
)
from scheduling.processors.retrieval.extraction.extractor import extract_blocks
from scheduling.processors.retrieval.models import DocumentStatus
from scheduling.processors.retrieval.repository import DocumentSource
from scheduling.processors.retrieval.splitting import Passage, split_blocks


class DocumentIndexing(TaskProcessor):
    """Makes an uploaded file searchable."""

    kind = "document_indexing"
    memory_class = "medium"
    title = "Document indexing"
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"document_id": {"type": "string", "format": "uuid", "maxLength": 36}},
        "required": ["document_id"],
        "additionalProperties": False,
    }
    timeout_seconds = 900.0
    settings = (MAX_CHUNKS.key,)

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model in the worker's parent, whose children then share its memory."""
        get_embedder().load()

    def process(self, context: JobContext) -> Outcome:
        source = read_source(context)
        if source.status is DocumentStatus.COMPLETED:
            return Complete({"document": str(source.id), "chunks": source.chunks_done})
        phases = Phases(context, source)
        phases.begin()
        check_still_allowed(context, source)
        if source.is_pause_asked:
            return Suspended(context.state)
        if source.is_fetch_due:
            source = fetch_content(context, source)
            phases.enter(DocumentStatus.PARSING)
        passages = prepare_passages(context, source, phases)
        store = PassageStore(context, source, passages, phases)
        for first in store.open():
            try:
                is_pause_asked = store.store(first)
            except RateLimitedError as limited:
                # The endpoint is well and asks for patience: that costs the slot for a while, and no attempt.
                context.log("rate_limited", level="warning", seconds=limited.seconds)
                return Snoozed(store.state, limited.seconds)
            # Only here: each start reads the file anew, so each must store a batch at least. The last has no rest.
            if store.is_whole:
                break
            if is_pause_asked:
                return Suspended(store.state)
            if context.should_yield():
                return Yielded(store.state)
        context.log("indexed", chunks=len(passages))
        context.in_settlement(lambda: repository.complete(source))
        return Complete({"document": str(source.id), "chunks": len(passages)})

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Show the error with the document; whether the job is retried is left to the platform's policy."""
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
    """The job's document."""
    document_id = UUID(context.payload["document_id"])
    return repository.read_source(context.tenant_id, document_id, job_id=context.job_id)


def check_still_allowed(context: JobContext, source: DocumentSource) -> None:
    """Plans and settings may have changed since the upload; what is indexed anew was allowed then."""
    try:
        if not source.kept_chunks:
            repository.check_batch(context.tenant_id, source.batch_id)
    except BatchTooLargeError as error:
        raise PermanentError(str(error), code=OVER_BATCH_LIMIT) from error
    if source.embedding_model != current_model_name():
        raise PermanentError(
            f"The dataset is embedded by {source.embedding_model}; {current_model_name()} is in use.",
            code=MODEL_CHANGED,
        )


def prepare_passages(context: JobContext, source: DocumentSource, phases: Phases) -> list[Passage]:
    """Extract, clean and split: the same file gives the same passages at each start."""
    with fetch(source.storage_key, source.sha256) as file:
        blocks = extract_blocks(file, source.content_type, at_safe_point=context.should_yield)
    pages = {block.location["page"] for block in blocks if "page" in block.location}
    context.log("extracted", file=source.name, blocks=len(blocks), pages=len(pages) or None)
    phases.enter(DocumentStatus.CLEANING)
    blocks = clean_blocks(blocks)
    phases.enter(DocumentStatus.SPLITTING)
    passages = split_blocks(blocks, source.split_settings)
    if not passages:
        raise FileWithoutTextError
    most = context.setting(MAX_CHUNKS.key)
    if len(passages) > most:
        raise FileTooComplexError(f"The file makes {len(passages)} chunks; at most {most} are indexed.")
    context.log("split", chunks=len(passages), chunk_tokens=source.split_settings.chunk_size)
    return passages
