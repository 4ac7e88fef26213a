"""What threads compute, with the other side real and the platform a stand-in."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from scheduling.processors.base import Dependency, Interrupted, JobContext, PermanentError, TransientError
from scheduling.processors.rag_pipeline import steps as steps_module
from scheduling.processors.rag_pipeline.crew import StoppedError
from scheduling.processors.rag_pipeline.definition import read_recipe
from scheduling.processors.rag_pipeline.models import EntityState
from scheduling.processors.rag_pipeline.repository import Entity
from scheduling.processors.rag_pipeline.steps import Steps
from scheduling.processors.retrieval.splitting import Passage
from tests.web_server import WebServer, web_server


class Runtime:
    """Lets everything through, or refuses a dependency; two threads at once in it are an error."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.entered: list[str] = []
        self.left: list[tuple[str, str]] = []
        self._inside = threading.Lock()

    def enter_dependency(self, dependency: Dependency) -> None:
        assert self._inside.acquire(blocking=False)
        try:
            self.entered.append(dependency.name)
            if dependency.name in self.refused:
                raise Interrupted("dependency")
        finally:
            self._inside.release()

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        assert self._inside.acquire(blocking=False)
        self.left.append((dependency.name, type(error).__name__))
        self._inside.release()


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def website(settings: Any) -> Iterator[WebServer]:
    with web_server() as running:
        settings.OUTGOING_HTTP_ALLOWED_HOSTS = [f"127.0.0.1:{running.port}"]
        yield running


def steps_of(runtime: Runtime, check_running: Any = lambda: None, **recipe: Any) -> Steps:
    context = JobContext(
        tenant_id=uuid4(),
        job_id=uuid4(),
        execution_id=uuid4(),
        kind="rag_pipeline",
        payload={},
        attempt=1,
        state={},
        fencing_token=1,
        idempotency_key="x",
        deadline_at=datetime(2030, 1, 1, tzinfo=UTC),
        runtime=runtime,  # type: ignore[arg-type]
    )
    return Steps(context, read_recipe({"load": {"dataset": "x"}, **recipe}), check_running)


def entity(**source: Any) -> Entity:
    return Entity(
        id=UUID(int=1),
        position=0,
        name=source.get("name", "page"),
        source=source,
        state=EntityState.RUNNING,
        attempt=1,
        content_key="",
        content_sha256="",
        content_type="",
        size_bytes=0,
        passages_key="",
        passages_sha256="",
        document_id=None,
        chunks_done=0,
        chunks_total=None,
    )


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.txt", "text/plain"), ("a.md", "text/markdown"), ("a.csv", "text/csv"), ("a.unknown", "text/plain")],
)
def test_a_text_is_what_its_name_says(runtime: Runtime, name: str, content_type: str) -> None:
    fetched = steps_of(runtime).fetch(entity(type="text", name=name, text="one, 二"))
    assert (fetched.data.decode(), fetched.content_type) == ("one, 二", content_type)
    assert runtime.entered == []


@pytest.mark.parametrize(
    ("path", "media_type", "content_type"),
    [
        ("/page", "text/html; charset=utf-8", "text/html"),
        ("/notes.md", "application/octet-stream", "text/markdown"),
        ("/notes.md", "text/plain", "text/plain"),
    ],
)
def test_a_page_is_what_its_server_says_else_what_its_address_says(
    runtime: Runtime, website: WebServer, path: str, media_type: str, content_type: str
) -> None:
    website.answers = {path: (200, {"Content-Type": media_type}, b"<p>Words</p>" if path == "/page" else b"Words")}
    fetched = steps_of(runtime).fetch(entity(type="url", url=f"{website.url}{path}"))
    assert fetched.content_type == content_type
    assert runtime.left == [(f"127.0.0.1:{website.port}", "NoneType")]


@pytest.mark.parametrize(
    ("answer", "code", "kind", "retry_after"),
    [
        ((429, {"Retry-After": "7"}, b""), "http_429", TransientError, 7.0),
        ((500, {}, b""), "http_500", TransientError, None),
        ((403, {}, b""), "http_403", PermanentError, None),
        ((200, {"Content-Type": "text/html"}, b""), "file_empty", PermanentError, None),
    ],
)
def test_what_a_server_refuses_is_named(
    runtime: Runtime, website: WebServer, answer: Any, code: str, kind: type[Exception], retry_after: float | None
) -> None:
    website.answers = {"/page": answer}
    with pytest.raises(kind) as raised:
        steps_of(runtime).fetch(entity(type="url", url=f"{website.url}/page"))
    assert raised.value.code == code  # type: ignore[attr-defined]
    assert getattr(raised.value, "retry_after_seconds", None) == retry_after


def test_a_host_that_is_down_is_its_entity_s_error_and_not_the_run_s(runtime: Runtime, website: WebServer) -> None:
    runtime.refused = {f"127.0.0.1:{website.port}"}
    with pytest.raises(TransientError) as raised:
        steps_of(runtime).fetch(entity(type="url", url=f"{website.url}/page"))
    assert raised.value.code == "host_down"
    assert website.seen == []


def test_page_is_fetched_with_headers_of_its_source(runtime: Runtime, website: WebServer) -> None:
    steps_of(runtime).fetch(entity(type="url", url=f"{website.url}/page", headers={"X-Version": "2"}))
    assert website.seen[0].headers["X-Version"] == "2"


class Endpoint:
    """Embeddings from elsewhere, which all entities need."""

    dependency = Dependency("embeddings", is_shared=True)

    def embed(self, texts: Sequence[str]) -> list[str]:
        return [text.upper() for text in texts]


def test_an_embedding_endpoint_that_is_down_holds_the_run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "get_embedder", Endpoint)
    steps = steps_of(runtime)
    passages = [Passage(0, "one", {}), Passage(1, "two", {})]
    assert list(steps.embed(passages).vectors) == ["ONE", "TWO"]
    runtime.refused = {"embeddings"}
    with pytest.raises(Interrupted):
        steps.embed(passages)


def test_a_step_begins_nothing_once_the_run_is_over(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "get_embedder", Endpoint)

    def is_over() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        steps_of(runtime, is_over).embed([Passage(0, "one", {})])
    assert runtime.entered == []
