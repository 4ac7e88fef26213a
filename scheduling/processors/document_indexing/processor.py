"""One document: extract → clean → split → embed → load, each chunk stored exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
    OVER_VECTOR_SPACE,
)
from scheduling.processors.document_indexing.fetching import fetch_content
from scheduling.processors.document_indexing.tenant_settings import MAX_CHUNKS
from scheduling.processors.files.store import fetch
from scheduling.processors.retrieval import repository
from scheduling.processors.retrieval.cleaning import clean_blocks
from scheduling.processors.retrieval.embedding import RateLimitedError, Vectors, current_model_name, get_embedder
from scheduling.processors.retrieval.exceptions import BatchTooLargeError, DocumentGoneError
from scheduling.processors.retrieval.extraction.errors import FileTooComplexError, FileWithoutTextError
from scheduling.processors.retrieval.extraction.extractor import extract_blocks
from scheduling.processors.retrieval.models import DocumentStatus
from scheduling.processors.retrieval.repository import DocumentSource
from scheduling.processors.retrieval.splitting import Passage, passages_digest, split_blocks
from scheduling.processors.retrieval.vector_reuse import embed_anew
from tenants.exceptions import SpaceExceededError

# Chunks embedded and stored at a time: what a crash costs, and how long a cancel or a pause waits (about 0.4 s).
BATCH_CHUNKS = 32


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
        context.checkpoint(context.state, lambda: repository.take_over(source))
        check_still_allowed(context, source)
        if source.is_pause_asked:
            return Suspended(context.state)
        if source.is_fetch_due:
            source = fetch_content(context, source)
        passages = prepare_passages(context, source)
        digest = passages_digest(passages)
        first = begin_or_resume(context, source, digest, len(passages))
        for start in range(first, len(passages), BATCH_CHUNKS):
            batch = passages[start : start + BATCH_CHUNKS]
            try:
                is_pause_asked = load_batch(context, source, digest, batch, total=len(passages))
            except RateLimitedError as limited:
                # The endpoint is well and asks for patience: that costs the slot for a while, and no attempt.
                context.log("rate_limited", level="warning", seconds=limited.seconds)
                return Snoozed({"digest": digest}, limited.seconds)
            done = start + len(batch)
            # Only here: each start reads the file anew, so each must store a batch at least. The last has no rest.
            if done == len(passages):
                break
            if is_pause_asked:
                return Suspended({"digest": digest})
            if context.should_yield():
                return Yielded({"digest": digest})
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
        return None


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
        raise PermanentError(error.detail, code=OVER_BATCH_LIMIT) from error
    if source.embedding_model != current_model_name():
        raise PermanentError(
            f"The dataset is embedded by {source.embedding_model}; {current_model_name()} is in use.",
            code=MODEL_CHANGED,
        )


def prepare_passages(context: JobContext, source: DocumentSource) -> list[Passage]:
    """Extract, clean and split: the same file gives the same passages at each start."""
    enter_phase(context, source, DocumentStatus.PARSING)
    with fetch(source.storage_key, source.sha256) as file:
        blocks = extract_blocks(file, source.content_type, at_safe_point=context.should_yield)
    pages = {block.location["page"] for block in blocks if "page" in block.location}
    context.log("extracted", file=source.name, blocks=len(blocks), pages=len(pages) or None)
    enter_phase(context, source, DocumentStatus.CLEANING)
    blocks = clean_blocks(blocks)
    enter_phase(context, source, DocumentStatus.SPLITTING)
    passages = split_blocks(blocks, source.split_settings)
    if not passages:
        raise FileWithoutTextError
    most = context.setting(MAX_CHUNKS.key)
    if len(passages) > most:
        raise FileTooComplexError(f"The file makes {len(passages)} chunks; at most {most} are indexed.")
    context.log("split", chunks=len(passages), chunk_tokens=source.split_settings.chunk_size)
    return passages


def enter_phase(context: JobContext, source: DocumentSource, status: DocumentStatus) -> None:
    """Show the phase; a resumed document stays where it was, for its reader has seen chunks already."""
    if not source.chunks_done:
        context.checkpoint(context.state, lambda: repository.enter_phase(source, status))
    # Nothing is stored yet that could go on from here, so only an interruption, which raises, ends it.
    context.should_yield()


def begin_or_resume(context: JobContext, source: DocumentSource, digest: str, total: int) -> int:
    """The position of the first chunk to store.

    The document's own mark decides, for it moves in the transaction that stores the chunks; it counts as long as
    the passages are the same to the last byte.
    """
    state = {"digest": digest}
    if source.passages_digest == digest:
        context.log("resumed", chunks_done=source.chunks_done, of=total)
        context.checkpoint(state, lambda: repository.resume_chunks(source))
        return source.chunks_done
    try:
        context.checkpoint(state, lambda: repository.begin_chunks(source, digest=digest, total=total))
    except SpaceExceededError as error:
        raise PermanentError(error.detail, code=OVER_VECTOR_SPACE) from error
    return 0


def load_batch(
    context: JobContext, source: DocumentSource, digest: str, passages: Sequence[Passage], *, total: int
) -> bool:
    """Embed and store one batch, under the fence; whether somebody has asked for a pause meanwhile."""
    embedder = get_embedder()

    def embed(texts: Sequence[str]) -> Vectors:
        with context.dependency(embedder.dependency) if embedder.dependency else nullcontext():
            try:
                return embedder.embed(texts)
            except RateLimitedError as error:
                limited = error
        # Outside: whoever asks for patience has not failed.
        raise limited

    texts = [passage.text for passage in passages]
    embedded = embed_anew(context.tenant_id, texts, model=source.embedding_model, embed=embed)
    asked: list[bool] = []
    context.checkpoint(
        {"digest": digest}, lambda: asked.append(repository.append_chunks(source, passages, embedded.vectors))
    )
    done = passages[-1].position + 1
    context.log("embedded", chunks=done, of=total, reused=embedded.reused)
    context.report_progress(done, total, f"{source.name}: indexing")
    return asked[-1]
