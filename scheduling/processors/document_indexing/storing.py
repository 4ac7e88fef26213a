"""Storing a document's passages, batch by batch, from where an earlier start left off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from scheduling.processors.base import JobContext, PermanentError
from scheduling.processors.document_indexing.errors import OVER_VECTOR_SPACE
from scheduling.processors.document_indexing.phases import Phases
from scheduling.processors.retrieval import repository
from scheduling.processors.retrieval.embedding import RateLimitedError, Vectors, get_embedder
from scheduling.processors.retrieval.repository import DocumentSource
from scheduling.processors.retrieval.splitting import Passage, passages_digest
from scheduling.processors.retrieval.vector_reuse import embed_anew
from tenants.exceptions import SpaceExceededError

# Chunks embedded and stored at a time: what a crash costs, and how long a cancel or a pause waits (about 0.4 s).
BATCH_CHUNKS = 32


class PassageStore:
    """The passages of one document on their way into the dataset, each stored exactly once."""

    def __init__(
        self, context: JobContext, source: DocumentSource, passages: Sequence[Passage], phases: Phases
    ) -> None:
        self._context = context
        self._source = source
        self._passages = passages
        self._phases = phases
        self._put_off: Callable[[], None] | None = None
        self._done = 0
        self.state = {"digest": passages_digest(passages)}

    @property
    def is_whole(self) -> bool:
        """Whether every passage is stored."""
        return self._done == len(self._passages)

    def open(self) -> range:
        """Where each batch begins that is to be stored.

        The document's own mark decides, for it moves in the transaction that stores the chunks; it counts as long as
        the passages are the same to the last byte.
        """
        if self._source.passages_digest == self.state["digest"]:
            self._context.log("resumed", chunks_done=self._source.chunks_done, of=len(self._passages))
            self._context.checkpoint(self.state, lambda: repository.resume_chunks(self._source))
            self._done = self._source.chunks_done
        elif len(self._passages) > BATCH_CHUNKS or get_embedder().dependency:
            self._checkpoint(self._begin)
        else:
            # One batch is all, and embedded here: nothing would be seen between its beginning and its end.
            self._put_off = self._begin
        return range(self._done, len(self._passages), BATCH_CHUNKS)

    def store(self, first: int) -> bool:
        """Embed and store the batch from ``first`` on, under the fence; whether somebody has asked for a pause."""
        batch = self._passages[first : first + BATCH_CHUNKS]
        texts = [passage.text for passage in batch]
        model = self._source.embedding_model
        embedded = embed_anew(self._context.tenant_id, texts, model=model, embed=self._embed)
        asked: list[bool] = []

        def effects() -> None:
            if self._put_off is not None:
                self._put_off()
            asked.append(repository.append_chunks(self._source, batch, embedded.vectors))

        self._checkpoint(effects)
        self._put_off = None
        self._done = first + len(batch)
        self._context.log("embedded", chunks=self._done, of=len(self._passages), reused=embedded.reused)
        self._context.report_progress(self._done, len(self._passages), f"{self._source.name}: indexing")
        return asked[-1]

    def _begin(self) -> None:
        self._phases.tell()
        repository.begin_chunks(self._source, digest=self.state["digest"], total=len(self._passages))

    def _checkpoint(self, effects: Callable[[], None]) -> None:
        with _for_good():
            self._context.checkpoint(self.state, effects)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        embedder = get_embedder()
        with self._context.dependency(embedder.dependency) if embedder.dependency else nullcontext():
            try:
                return embedder.embed(texts)
            except RateLimitedError as error:
                limited = error
        # Outside: whoever asks for patience has not failed.
        raise limited


@contextmanager
def _for_good() -> Iterator[None]:
    """No later attempt would find more room."""
    try:
        yield
    except SpaceExceededError as error:
        raise PermanentError(str(error), code=OVER_VECTOR_SPACE) from error
