"""What threads compute for one entity: fetch, prepare (extract → clean → split), reload, embed. They write nothing."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from scheduling.outgoing_http import Answer, HeaderValue, Limits, open_headers, read_target, send
from scheduling.processors.base import (
    MAX_DEPENDENCY_CHARACTERS,
    Dependency,
    Interrupted,
    JobContext,
    PermanentError,
    TransientError,
)
from scheduling.processors.files.store import fetch, read_bytes
from scheduling.processors.rag_pipeline.artefacts import passages_from_bytes, passages_to_bytes
from scheduling.processors.rag_pipeline.definition import Recipe
from scheduling.processors.retrieval.cleaning import clean_blocks, remove_addresses
from scheduling.processors.retrieval.embedding import get_embedder
from scheduling.processors.retrieval.extraction.errors import FileTooComplexError, FileWithoutTextError
from scheduling.processors.retrieval.extraction.extractor import extract_blocks
from scheduling.processors.retrieval.extraction.limits import MIB, ParsingLimits
from scheduling.processors.retrieval.extraction.sniffing import ContentType, sniff
from scheduling.processors.retrieval.splitting import Passage, passages_digest, split_blocks, split_sections

if TYPE_CHECKING:
    from scheduling.processors.rag_pipeline.repository import Entity
    from scheduling.processors.retrieval.embedding import Vectors

MAX_PAGE_BYTES = 10 * MIB
_PAGE_LIMITS = Limits(read_seconds=30.0, total_seconds=60.0, body_bytes=MAX_PAGE_BYTES, redirects=5)
# Parsing processes of one worker's child at once: each may take as much memory again.
MAX_PARSERS = 2
PARSER_BYTES = 512 * MIB
# A character takes up to six bytes as JSON, and a block some more for where it stands.
_JSON_BYTES_A_CHARACTER = 8
# The client's errors that time may heal: Request Timeout, Too Early, Too Many Requests.
_HEALING_STATUSES = frozenset({408, 425, 429})
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/plain": ".txt",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """The content of a source."""

    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The passages of an entity, what they were read from, and how they go into the file storage; None: they are
    there.
    """

    passages: Sequence[Passage]
    digest: str
    content_type: str
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """Some passages with their vectors."""

    passages: Sequence[Passage]
    vectors: Vectors


class Steps:
    """The steps of one run; ``check_running`` is called several times a second and may raise to end one."""

    def __init__(self, context: JobContext, recipe: Recipe, check_running: Callable[[], None]) -> None:
        self._context = context
        self._recipe = recipe
        self._check_running = check_running
        # What the context keeps of dependencies is not made for threads.
        self._dependencies = threading.Lock()
        self._parsers = threading.Semaphore(MAX_PARSERS)
        # The model in the process computes for one at a time anyway; an endpoint serves as many as ask.
        self._model: Any = threading.Lock() if get_embedder().dependency is None else nullcontext()

    def fetch(self, entity: Entity) -> Fetched:
        """The bytes of a text or of a page, and what they are."""
        if entity.source["type"] == "text":
            data, name = entity.source["text"].encode("utf-8", "replace"), entity.name
        else:
            answer = self._call(entity.source["url"], entity.source.get("headers", {}))
            data, name = answer.body, _name_of_page(entity.name, answer)
        found = sniff(name, io.BytesIO(data))
        if found is None and entity.source["type"] == "text":
            found = ContentType.TEXT
        return Fetched(data, _known(found))

    def prepare(self, entity: Entity) -> Prepared:
        """Extract, clean and split: the same content gives the same passages."""
        recipe = self._recipe
        limits = ParsingLimits(
            memory_bytes=PARSER_BYTES, output_bytes=_JSON_BYTES_A_CHARACTER * recipe.max_characters + MIB
        )
        with fetch(entity.content_key, entity.content_sha256) as file, self._parser():
            # An uploaded file may be anything until it is looked at.
            content_type = entity.content_type or _known(sniff(entity.source["file_name"], file))  # type: ignore[arg-type]
            blocks = extract_blocks(file, content_type, limits=limits, at_safe_point=self._check_running)
        characters = sum(len(block.text) for block in blocks)
        if characters > recipe.max_characters:
            raise FileTooComplexError(f"It has {characters} characters; the definition takes {recipe.max_characters}.")
        self._check_running()
        blocks = clean_blocks(blocks)
        if recipe.remove_urls or recipe.remove_emails:
            blocks = remove_addresses(blocks, urls=recipe.remove_urls, emails=recipe.remove_emails)
        if recipe.split_mode == "markdown":
            passages = split_sections(blocks, recipe.split_settings, level=recipe.heading_level)
        else:
            passages = split_blocks(blocks, recipe.split_settings)
        if not passages:
            raise FileWithoutTextError
        return Prepared(passages, passages_digest(passages), content_type, passages_to_bytes(passages))

    def reload(self, entity: Entity) -> Prepared:
        """The passages that an earlier start has left."""
        passages = passages_from_bytes(read_bytes(entity.passages_key, entity.passages_sha256))
        return Prepared(passages, passages_digest(passages), entity.content_type)

    def embed(self, passages: Sequence[Passage]) -> Embedded:
        """The vectors of some passages."""
        embedder = get_embedder()
        with self._model:
            self._check_running()
            with self._needing(embedder.dependency):
                return Embedded(passages, embedder.embed([passage.text for passage in passages]))

    def _call(self, url: str, headers: Mapping[str, str]) -> Answer:
        host = read_target(url).authority[:MAX_DEPENDENCY_CHARACTERS]
        opened = open_headers(self._context.tenant_id, url, headers.items())
        try:
            answer = self._ask(host, url, opened)
        except Interrupted as interruption:
            if interruption.cause != "dependency":
                raise
            # One host that is down is no reason for the whole run to wait.
            raise TransientError(f"{host} has failed too often; it is left alone for now.", code="host_down") from None
        if answer.is_cut:
            raise PermanentError(f"The page has more than {MAX_PAGE_BYTES} bytes.", code="page_too_large")
        if not answer.body:
            raise PermanentError("The page is empty.", code="file_empty")
        return answer

    def _ask(self, host: str, url: str, headers: Sequence[tuple[str, HeaderValue]]) -> Answer:
        with self._needing(Dependency(host)):
            answer = send("GET", url, headers=headers, limits=_PAGE_LIMITS, at_safe_point=self._check_running)
            if answer.status != 200:
                message, code = f"{answer.url} answered with the status {answer.status}.", f"http_{answer.status}"
                if answer.status >= 500 or answer.status in _HEALING_STATUSES:
                    raise TransientError(message, code=code, retry_after_seconds=answer.retry_after_seconds)
                raise PermanentError(message, code=code)
            return answer

    @contextmanager
    def _parser(self) -> Iterator[None]:
        while not self._parsers.acquire(timeout=0.25):
            self._check_running()
        try:
            yield
        finally:
            self._parsers.release()

    @contextmanager
    def _needing(self, dependency: Dependency | None) -> Iterator[None]:
        """The context's own ``dependency``, entered and left by one thread at a time."""
        if dependency is None:
            yield
            return
        scope = self._context.dependency(dependency)
        with self._dependencies:
            scope.__enter__()
        try:
            yield
        except BaseException as error:
            with self._dependencies:
                scope.__exit__(type(error), error, error.__traceback__)
            raise
        with self._dependencies:
            scope.__exit__(None, None, None)


def _known(content_type: ContentType | None) -> str:
    """The type of a content that is read; PermanentError for one that is not."""
    if content_type is None:
        raise PermanentError("It is no PDF, DOCX, HTML, Markdown, text or CSV.", code="type_unknown")
    return content_type.value


def _name_of_page(name: str, answer: Answer) -> str:
    """A name whose ending tells what the text is: that of the answer's media type, else that of the URL."""
    media_type = answer.header("content-type").partition(";")[0].strip().lower()
    suffix = _SUFFIXES.get(media_type) or PurePosixPath(answer.url).suffix
    return f"{name}{suffix}"
