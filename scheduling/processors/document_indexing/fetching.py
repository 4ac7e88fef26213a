"""Fetching what a document's address leads to."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from scheduling.outgoing_http import Answer, Limits, read_target, send
from scheduling.processors.base import MAX_DEPENDENCY_CHARACTERS, JobContext, PermanentError, TransientError
from scheduling.processors.files.incoming import MAX_FILE_BYTES
from scheduling.processors.files.store import store_bytes
from scheduling.processors.retrieval import repository
from scheduling.processors.retrieval.extraction.errors import FileWithoutTextError
from scheduling.processors.retrieval.extraction.sniffing import ContentType, sniff
from scheduling.processors.retrieval.repository import DocumentSource

_LIMITS = Limits(read_seconds=30.0, total_seconds=120.0, body_bytes=MAX_FILE_BYTES, redirects=5)
# What no sniffing tells apart is told by the server's word, which is worth no more than a name's ending.
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/plain": ".txt",
}
_ACCEPT = ("Accept", "text/html, application/pdf, text/markdown, text/plain, text/csv, */*;q=0.5")
_HEALING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Page:
    """What an address led to."""

    data: bytes
    content_type: ContentType


def fetch_content(context: JobContext, source: DocumentSource) -> DocumentSource:
    """Fetch the document's content and make it the document's own; the source as it is then."""
    with context.dependency(read_target(source.source_url).authority[:MAX_DEPENDENCY_CHARACTERS]):
        answer = send("GET", source.source_url, headers=[_ACCEPT], limits=_LIMITS, at_safe_point=context.should_yield)
        page = read_page(answer)
    context.log("fetched", address=answer.url, content_type=str(page.content_type), bytes=len(page.data))
    content = store_bytes(context.tenant_id, page.data)
    context.checkpoint(context.state, lambda: repository.take_content(source, content, content_type=page.content_type))
    return repository.read_source(context.tenant_id, source.id, job_id=context.job_id)


def read_page(answer: Answer) -> Page:
    """The content of an answer, if it is one and of a type that is read; else the error that it is."""
    if answer.status >= 500 or answer.status in _HEALING_STATUSES:
        raise TransientError(
            f"{answer.url} answered with the status {answer.status}.",
            code=f"http_{answer.status}",
            retry_after_seconds=answer.retry_after_seconds,
        )
    if answer.status != 200:
        raise PermanentError(f"{answer.url} answered with the status {answer.status}.", code=f"http_{answer.status}")
    if answer.is_cut:
        raise PermanentError(f"{answer.url} has more than {MAX_FILE_BYTES} bytes.", code="file_too_large")
    if not answer.body:
        raise FileWithoutTextError(f"{answer.url} is empty.")
    content_type = sniff(name_for_sniffing(answer), io.BytesIO(answer.body))
    if content_type is None:
        told = answer.header("content-type") or "nothing"
        raise PermanentError(
            f"{answer.url} is no PDF, DOCX, HTML, Markdown, text or CSV; it says {told[:100]}.", code="type_unknown"
        )
    return Page(answer.body, content_type)


def name_for_sniffing(answer: Answer) -> str:
    """A name whose ending says what the server says, or the address where it says nothing of use."""
    media_type = answer.header("content-type").partition(";")[0].strip().lower()
    name = PurePosixPath(urlsplit(answer.url).path).name
    return f"page{_SUFFIXES[media_type]}" if media_type in _SUFFIXES else name
