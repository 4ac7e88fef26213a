"""Steps that compute for one item, with a real web server and without a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from scheduling.kit.base import Dependency, Interrupted, PermanentError, TransientError
from scheduling.kit.http import Limits
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.documents.blocks import Block, BlockKind
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.extraction.errors import FileTooComplexError, FileWithoutTextError
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem, IndexingSettings, IndexingState
from workloads.documents.one_item.steps import StepContext
from workloads.documents.split_settings import SplitSettings
from workloads.documents.splitting import Passage
from workloads.documents.vector_reuse import digest_of_text

LIMITS = Limits(body_bytes=1_000)


class Dependencies:
    """Dependencies of steps; those in ``refused`` have an open breaker."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.entered: list[str] = []
        self.left: list[tuple[str, str]] = []

    @contextmanager
    def use(self, dependency: Dependency) -> Iterator[None]:
        self.entered.append(dependency.name)
        if dependency.name in self.refused:
            raise Interrupted("dependency")
        try:
            yield
        except BaseException as error:
            self.left.append((dependency.name, type(error).__name__))
            raise
        self.left.append((dependency.name, "NoneType"))

    def context(self, check_running: Callable[[], object] = lambda: None) -> StepContext:
        return StepContext(check_running, self.use)


@pytest.fixture
def dependencies() -> Dependencies:
    return Dependencies()


@pytest.fixture
def website(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


def item(name: str = "page", **changes: Any) -> IndexingItem:
    settings = changes.pop("settings", IndexingSettings(SplitSettings(30, 0)))
    return IndexingItem(UUID(int=1), name, name, settings, "model", IndexingState(), **changes)


def passages(*texts: str) -> list[Passage]:
    return [Passage(position, text, {}) for position, text in enumerate(texts)]


def content_of(fetched: IndexingItem) -> tuple[bytes | None, str, int]:
    return fetched.data, fetched.state.content_type, fetched.state.size_bytes


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.txt", "text/plain"), ("a.md", "text/markdown"), ("a.csv", "text/csv"), ("a.unknown", "text/plain")],
)
def test_text_has_type_of_its_name(name: str, content_type: str) -> None:
    data = "one, 二".encode()
    assert content_of(steps.fetch_text(item(name), "one, 二")) == (data, content_type, len(data))


@pytest.mark.parametrize(
    ("path", "name", "media_type", "content_type"),
    [
        ("/page", "page", "text/html; charset=utf-8", "text/html"),
        ("/notes.md", "page", "application/octet-stream", "text/markdown"),
        ("/notes.md", "page", "text/plain", "text/plain"),
        ("/notes", "page.csv", "application/octet-stream", "text/csv"),
        ("/", "", "", "text/plain"),
    ],
)
def test_type_of_page_is_that_of_server_address_or_name(
    dependencies: Dependencies, website: WebServer, path: str, name: str, media_type: str, content_type: str
) -> None:
    body = b"<p>Words</p>" if path == "/page" else b"Words"
    website.answers = {path: (200, {"Content-Type": media_type}, body)}
    fetched = steps.fetch_page(item(name), f"{website.url}{path}", dependencies.context(), limits=LIMITS)
    assert content_of(fetched) == (body, content_type, len(body))
    assert dependencies.left == [(f"127.0.0.1:{website.port}", "NoneType")]


@pytest.mark.parametrize(
    ("answer", "code", "kind", "retry_after"),
    [
        ((429, {"Retry-After": "7"}, b""), "http_429", TransientError, 7.0),
        ((500, {}, b""), "http_500", TransientError, None),
        ((403, {}, b""), "http_403", PermanentError, None),
        ((200, {"Content-Type": "text/html"}, b""), "file_empty", PermanentError, None),
        ((200, {"Content-Type": "text/html"}, b"x" * 1_001), "file_too_large", PermanentError, None),
        ((200, {"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\n\x00\x00"), "type_unknown", PermanentError, None),
    ],
)
def test_page_that_cannot_be_indexed_has_a_code(
    dependencies: Dependencies,
    website: WebServer,
    answer: Any,
    code: str,
    kind: type[Exception],
    retry_after: float | None,
) -> None:
    website.answers = {"/page": answer}
    with pytest.raises(kind) as raised:
        steps.fetch_page(item(), f"{website.url}/page", dependencies.context(), limits=LIMITS)
    assert raised.value.code == code  # type: ignore[attr-defined]
    assert getattr(raised.value, "retry_after_seconds", None) == retry_after


def test_page_is_requested_with_given_headers_and_accept_unless_given(
    dependencies: Dependencies, website: WebServer
) -> None:
    for headers in ([("X-Version", "2")], [("accept", "text/csv")]):
        steps.fetch_page(item(), f"{website.url}/page", dependencies.context(), limits=LIMITS, headers=headers)
    first, second = (seen.headers for seen in website.seen)
    assert (first["X-Version"], first["Accept"].split(",")[0]) == ("2", "text/html")
    assert [value for name, value in second.items() if name.lower() == "accept"] == ["text/csv"]


def test_page_of_host_with_open_breaker_is_not_requested(dependencies: Dependencies, website: WebServer) -> None:
    dependencies.refused = {f"127.0.0.1:{website.port}"}
    with pytest.raises(Interrupted):
        steps.fetch_page(item(), f"{website.url}/page", dependencies.context(), limits=LIMITS)
    assert website.seen == []


def test_clean_removes_addresses_if_settings_require_it() -> None:
    blocks = [Block("Mail bob@example.com or see https://example.com/x today.")]
    settings = IndexingSettings(SplitSettings(), remove_urls=True, remove_emails=True)
    assert "example.com" in steps.clean(item(blocks=blocks)).blocks[0].text
    assert "example.com" not in steps.clean(item(blocks=blocks, settings=settings)).blocks[0].text


def test_split_drops_blocks_and_is_deterministic() -> None:
    blocks = [Block("Words of a paragraph that is long enough to be one. " * 4), Block("More words.")]
    once, again = steps.split(item(blocks=blocks)), steps.split(item(blocks=blocks))
    assert (once.blocks, once.passages, once.digest) == ((), again.passages, again.digest)
    assert len(once.passages) > 1


def test_split_adds_the_passage_of_a_summary_and_the_beginning_whatever_the_chunks_are() -> None:
    blocks = [
        Block("Words of a paragraph. " * 9),
        Block("1 | 2", kind=BlockKind.TABLE, header="a | b"),
        Block("x" * 20_000),
    ]
    small, large = (
        steps.split(item(blocks=blocks, summary_model="own/chat", settings=IndexingSettings(SplitSettings(size, 0))))
        for size in (20, 900)
    )
    assert small.beginning == large.beginning
    assert len(small.beginning) == steps.MAX_SUMMARIZED_CHARACTERS
    assert "paragraph. \n\na | b\n1 | 2\n\nxxx" in small.beginning
    last = small.passages[-1]
    assert (last.position, last.text, last.location) == (len(small.passages) - 1, "", {"summary": "own/chat"})
    assert small.with_summary("").passages == small.passages[:-1]
    assert small.with_summary("Brief.").passages[-1].text == "Brief."
    assert not any(one.is_summary for one in steps.split(item(blocks=blocks)).passages)


def test_split_refuses_no_text_and_too_many_chunks() -> None:
    blocks = [Block("Words of a paragraph that is long enough to be one. " * 9)]
    with pytest.raises(FileWithoutTextError):
        steps.split(item())
    with pytest.raises(FileTooComplexError):
        steps.split(item(blocks=blocks, settings=IndexingSettings(SplitSettings(20, 0), max_chunks=1)))


class Endpoint(Embedder):
    """Embeddings from an endpoint, whose first ``limited`` calls are rate-limited."""

    dependency = Dependency("embeddings", is_shared=True)

    def __init__(self, limited: int = 0) -> None:
        self.limited = limited
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        if len(self.asked) <= self.limited:
            raise EndpointRateLimitedError("busy", seconds=7)
        return np.full((len(texts), 8), 0.5, dtype=np.float32)


def test_embed_takes_next_batch_and_computes_each_unknown_text_once(dependencies: Dependencies) -> None:
    endpoint = Endpoint()
    settings = IndexingSettings(SplitSettings(), batch_size=4)
    given = item(passages=passages("done", "one", "two", "one", "old", "later"), settings=settings).with_progress(1)
    known = {digest_of_text("model", "old"): [1.0] * 8}
    batch = steps.embed(given, endpoint, dependencies.context(), known)
    assert ([passage.text for passage in batch.passages], batch.reused) == (["one", "two", "one", "old"], 1)
    assert batch.vectors[:, 0].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert endpoint.asked == [["one", "two"]]


def test_embed_of_known_texts_calls_no_endpoint(dependencies: Dependencies) -> None:
    endpoint = Endpoint()
    known = {digest_of_text("model", "old"): [1.0] * 8}
    assert steps.embed(item(passages=passages("old")), endpoint, dependencies.context(), known).reused == 1
    assert (endpoint.asked, dependencies.entered) == ([], [])


def test_rate_limit_of_endpoint_is_not_a_failure_of_the_dependency(dependencies: Dependencies) -> None:
    with pytest.raises(EndpointRateLimitedError):
        steps.embed(item(passages=passages("one")), Endpoint(limited=1), dependencies.context(), {})
    assert dependencies.left == [("embeddings", "NoneType")]


def test_open_breaker_of_endpoint_interrupts_embed(dependencies: Dependencies) -> None:
    endpoint = Endpoint()
    dependencies.refused = {"embeddings"}
    with pytest.raises(Interrupted):
        steps.embed(item(passages=passages("one")), endpoint, dependencies.context(), {})
    assert endpoint.asked == []


def test_error_of_check_running_ends_embed_before_its_call(dependencies: Dependencies) -> None:
    endpoint = Endpoint()

    def is_over() -> None:
        raise Interrupted("cancel")

    with pytest.raises(Interrupted):
        steps.embed(item(passages=passages("one")), endpoint, dependencies.context(is_over), {})
    assert (endpoint.asked, dependencies.entered) == ([], [])
