"""The computing steps of indexing one item: fetch, extract, clean, split, load passages, embed.

Each returns a copy of the item after the step. They write nothing and read no table, so they may run in threads.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, PermanentError, TransientError
from scheduling.kit.http import Answer, HeaderValue, Limits, read_target, send
from workloads.documents.blocks import Block, Facts
from workloads.documents.cleaning import clean_blocks, remove_addresses
from workloads.documents.embedding import Embedder, EndpointRateLimitedError, text_to_embed
from workloads.documents.extraction.errors import MAX_MESSAGE, FileTooComplexError, FileWithoutTextError
from workloads.documents.extraction.extractor import extract_file
from workloads.documents.extraction.limits import LOCAL_OCR, OCR_OFF
from workloads.documents.extraction.recognition import EndpointRecognition
from workloads.documents.extraction.sniffing import ACCEPTED, ContentType, sniff
from workloads.documents.one_item.item import IndexingItem, passages_from_bytes
from workloads.documents.splitting import Passage, passages_digest, split_blocks
from workloads.documents.vector_reuse import combine
from workloads.files.store import fetch, read_bytes

if TYPE_CHECKING:
    from workloads.documents.embedding import Vectors

MAX_CHUNKS_KEY = "document_indexing.max_chunks"
MAX_SUMMARIZED_CHARACTERS = 12_000
PAGES_KEY = "document_indexing.max_percent_without_text"
_ACCEPT = ("Accept", "text/html, application/pdf, text/markdown, text/plain, text/csv, */*;q=0.5")
# A text without distinctive content has the type that its server names, mapped to a file suffix.
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "application/json": ".json",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "message/rfc822": ".eml",
}
# Client errors that may succeed later: Request Timeout, Too Early, Too Many Requests.
_HEALING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class StepContext:
    """What the steps need from the job that runs them.

    ``check_running()`` is called several times a second and may raise an exception to end a step. ``dependency`` is the
    method of the job's context. The slots limit how many parsers and how many calls of a local model run at once in
    this process.
    """

    check_running: Callable[[], object]
    dependency: Callable[[Dependency], AbstractContextManager[None]]
    parser_slot: AbstractContextManager[Any] = field(default_factory=nullcontext)
    model_slot: AbstractContextManager[Any] = field(default_factory=nullcontext)


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """A batch of passages and their vectors. ``reused`` of the vectors existed already and were not computed again."""

    passages: Sequence[Passage]
    vectors: Vectors
    reused: int


def fetch_text(item: IndexingItem, text: str) -> IndexingItem:
    """Return the item with a given text as its content."""
    data = text.encode("utf-8", "replace")
    content_type = sniff(item.file_name, io.BytesIO(data)) or ContentType.TEXT
    return replace(item, data=data).with_state(content_type=content_type.value, size_bytes=len(data))


def fetch_page(
    item: IndexingItem,
    url: str,
    context: StepContext,
    *,
    limits: Limits,
    headers: Sequence[tuple[str, HeaderValue]] = (),
) -> IndexingItem:
    """Return the item with the content of the page or file at a URL.

    For errors of the server raise `TransientError` or `PermanentError`, with the codes ``http_<status>``,
    ``file_too_large``, ``file_empty`` and ``type_unknown``; raise `Interrupted` while the circuit breaker of the host
    is open.
    """
    if not any(name.lower() == "accept" for name, _ in headers):
        headers = [_ACCEPT, *headers]
    with context.dependency(Dependency(read_target(url).authority[:MAX_DEPENDENCY_CHARACTERS])):
        answer = send("GET", url, headers=headers, limits=limits, at_safe_point=context.check_running)
        _check_status(answer)
    if answer.is_cut:
        raise PermanentError(f"{answer.url} has more than {limits.body_bytes} bytes.", code="file_too_large")
    if not answer.body:
        raise PermanentError(f"{answer.url} is empty.", code="file_empty")
    content_type = sniff(_name_for_sniffing(answer, item.file_name), io.BytesIO(answer.body))
    if content_type is None:
        named = answer.header("content-type") or "nothing"
        raise _type_unknown(answer.url, f"; its media type is {named[:100]}")
    return replace(item, data=answer.body).with_state(content_type=content_type.value, size_bytes=len(answer.body))


def extract(item: IndexingItem, context: StepContext) -> IndexingItem:
    """Return the item with the blocks of text in its stored content.

    Raise `FileTooComplexError` if it has more text than the settings allow, `FileWithoutTextError` if it has more pages
    without text, or any error of `extract_file`.
    """
    with fetch(item.state.content_key, item.state.content_sha256) as file, context.parser_slot:
        return extract_from(item, file, context)


def extract_from(item: IndexingItem, file: IO[bytes], context: StepContext) -> IndexingItem:
    """Return the item with the blocks of text in a file on disk; raise as `extract` does."""
    settings = item.settings
    content_type = item.state.content_type or sniff(item.file_name, file)  # type: ignore[arg-type]
    if content_type is None:
        raise _type_unknown("It")
    limits, recognition = settings.parsing, None
    if limits.ocr_pages and limits.ocr not in {OCR_OFF, LOCAL_OCR}:
        recognition = EndpointRecognition(limits, check_running=context.check_running, dependency=context.dependency)
    found = extract_file(
        file,
        str(content_type),
        encoding=settings.encoding,
        limits=limits,
        at_safe_point=context.check_running,
        recognition=recognition,
    )
    _check_pages(found.facts, settings.max_percent_without_text)
    characters = sum(len(block.text) for block in found.blocks)
    if settings.max_characters is not None and characters > settings.max_characters:
        raise FileTooComplexError(f"It has {characters} characters; at most {settings.max_characters} are indexed.")
    context.check_running()
    return replace(item, data=None, blocks=found.blocks, facts=found.facts).with_state(content_type=str(content_type))


def clean(item: IndexingItem) -> IndexingItem:
    """Return the item with clean blocks; URLs and e-mail addresses are removed if its settings say so."""
    settings, blocks = item.settings, clean_blocks(item.blocks)
    if settings.remove_urls or settings.remove_emails:
        blocks = remove_addresses(blocks, urls=settings.remove_urls, emails=settings.remove_emails)
    return replace(item, blocks=blocks)


def split(item: IndexingItem) -> IndexingItem:
    """Return the item with its passages, which are always the same for the same content and settings.

    If the item has a summary model, a passage for the summary is added, without its text, and the item has the
    beginning of its own text.

    Raise `FileWithoutTextError` if there is no passage, `FileTooComplexError` if there are more than allowed.
    """
    settings = item.settings
    passages = split_blocks(item.blocks, settings.split_settings)
    if not passages:
        raise FileWithoutTextError
    if settings.max_chunks is not None and len(passages) > settings.max_chunks:
        raise FileTooComplexError(too_many_chunks(len(passages), settings.max_chunks))
    if item.summary_model:
        passages.append(Passage(len(passages), "", {"summary": item.summary_model}))
        item = replace(item, beginning=_beginning_of(item.blocks))
    return replace(item, blocks=(), passages=passages, digest=passages_digest(passages))


def load_passages(item: IndexingItem) -> IndexingItem:
    """Return the item with the passages that an earlier start of the job has stored."""
    passages, facts = passages_from_bytes(read_bytes(item.state.passages_key, item.state.passages_sha256))
    return replace(item, passages=passages, facts=facts, digest=passages_digest(passages))


def embed(item: IndexingItem, embedder: Embedder, context: StepContext, known: Mapping[UUID, Any]) -> EmbeddedBatch:
    """Return the next batch of the item with its vectors, by the embedder of the item's model.

    ``known`` maps digests of texts to vectors that exist already. `EndpointRateLimitedError` is raised outside of the
    dependency's block, so that the breaker does not count it as a failure.
    """
    context.check_running()
    batch = item.next_batch()
    texts = [text_to_embed(passage.text, passage.location) for passage in batch]
    compute = partial(embed_texts, embedder, context=context)
    vectors, reused = combine(texts, known, model=item.embedding_model, embed=compute)
    return EmbeddedBatch(batch, vectors, reused)


def too_many_chunks(count: int, limit: int) -> str:
    """Return the message for a file of more chunks than the limit."""
    return (
        f"It has {count} chunks; at most {limit} are indexed (setting {MAX_CHUNKS_KEY}). Split the file, or choose "
        "larger chunks for the dataset."
    )


def embed_texts(embedder: Embedder, texts: Sequence[str], context: StepContext) -> Vectors:
    """Return the vectors of the texts, computed behind the breaker of the embedder's endpoint; raise as it does."""
    with context.model_slot:
        context.check_running()
        with context.dependency(embedder.dependency) if embedder.dependency else nullcontext():
            try:
                return embedder.embed(texts)
            except EndpointRateLimitedError as error:
                limited = error
    raise limited


def _beginning_of(blocks: Iterable[Block]) -> str:
    """Return the first characters of a document, of which a summary is made. They do not depend on the splitting."""
    text = ""
    for block in blocks:
        if len(text) >= MAX_SUMMARIZED_CHARACTERS:
            break
        text += f"{block.header}\n{block.text}\n\n".lstrip("\n")
    return text[:MAX_SUMMARIZED_CHARACTERS].rstrip()


def _check_pages(facts: Facts, most_percent: int) -> None:
    """Warn of pages without text; raise `FileWithoutTextError` if they are more than this share."""
    without, pages = facts.pages_without_text, facts.pages or 0
    if not without:
        return
    if 100 * without > most_percent * pages:
        advice = " ".join(facts.warnings) or "Upload the file again after text recognition, or raise the setting."
        text = f"{without} of {pages} pages have no text; at most {most_percent} % may have none (setting {PAGES_KEY})."
        raise FileWithoutTextError(f"{text} {advice}"[:MAX_MESSAGE])
    facts.warn(
        f"{without} of {pages} pages have no text, perhaps because they are scans. Searches do not find what is on "
        "them: upload the file again after text recognition."
    )


def _check_status(answer: Answer) -> None:
    if answer.status == 200:
        return
    message, code = f"{answer.url} answered with the status {answer.status}.", f"http_{answer.status}"
    if answer.status >= 500 or answer.status in _HEALING_STATUSES:
        raise TransientError(message, code=code, retry_after_seconds=answer.retry_after_seconds)
    raise PermanentError(message, code=code)


def _name_for_sniffing(answer: Answer, otherwise: str) -> str:
    """Return a name with the suffix of the media type, else that of the URL, else ``otherwise``."""
    media_type = answer.header("content-type").partition(";")[0].strip().lower()
    suffix = _SUFFIXES.get(media_type) or PurePosixPath(urlsplit(answer.url).path).suffix
    return f"page{suffix}" if suffix else otherwise


def _type_unknown(name: str, more: str = "") -> PermanentError:
    return PermanentError(f"{name} is not a file of a known type ({ACCEPTED}){more}.", code="type_unknown")
