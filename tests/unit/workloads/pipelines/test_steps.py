"""Additions of pipelines to the steps of indexing: threads, headers of sources, hosts that are down."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from scheduling.kit.base import Dependency, Interrupted, JobContext, TransientError
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.documents.embedding import Embedder
from workloads.documents.one_item.item import IndexingItem, IndexingSettings, IndexingState
from workloads.documents.one_item.steps import StepContext
from workloads.documents.split_settings import SplitSettings
from workloads.pipelines import steps as pipeline_steps
from workloads.pipelines.steps import ParserSlots, fetch, thread_context
from workloads.pipelines.thread_pool import StoppedError


class Runtime:
    """Runtime that admits or refuses a dependency, and raises if two threads use it at once."""

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


class Endpoint(Embedder):
    """Embeddings from an endpoint that all entities need."""

    dependency = Dependency("embeddings", is_shared=True)

    def embed(self, texts: Sequence[str]) -> Any:
        return np.ones((len(texts), 8), dtype=np.float32)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def website(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


def context_of(runtime: Runtime, check_running: Any = lambda: None) -> StepContext:
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
    return thread_context(context, Endpoint(), check_running)


def item(**changes: Any) -> IndexingItem:
    state = IndexingState(**changes.pop("state", {}))
    return IndexingItem(UUID(int=1), "page", "page", IndexingSettings(SplitSettings()), "model", state, **changes)


def test_host_that_is_down_fails_its_entity_only(runtime: Runtime, website: WebServer) -> None:
    runtime.refused = {f"127.0.0.1:{website.port}"}
    with pytest.raises(TransientError) as raised:
        fetch({"type": "url", "url": f"{website.url}/page"}, item(), context_of(runtime))
    assert raised.value.code == "host_down"
    assert website.seen == []


def test_headers_of_a_source_are_decrypted_for_the_request_only(
    runtime: Runtime, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def opening(tenant_id: UUID, url: str, headers: Any) -> list[tuple[str, str]]:
        asked.append((tenant_id, url, dict(headers)))
        return [("X-Key", "opened")]

    monkeypatch.setattr(pipeline_steps, "open_headers", opening)
    url = f"{website.url}/page"
    fetched = fetch({"type": "url", "url": url, "headers": {"X-Key": "{{ secrets.key }}"}}, item(), context_of(runtime))
    assert asked == [(UUID(int=1), url, {"X-Key": "{{ secrets.key }}"})]
    assert website.seen[0].headers["X-Key"] == "opened"
    assert fetched.data == b"hello"
    assert "opened" not in repr(fetched)


def test_dependency_is_entered_and_left_by_one_thread_at_a_time(runtime: Runtime) -> None:
    context = context_of(runtime)
    together = threading.Barrier(8, timeout=30)
    failed: list[BaseException] = []

    def use() -> None:
        try:
            together.wait()
            for _ in range(200):
                with context.dependency(Dependency("embeddings")):
                    pass
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert len(runtime.left) == 8 * 200


def test_error_leaves_dependency_with_its_type(runtime: Runtime) -> None:
    context = context_of(runtime)
    with pytest.raises(TransientError), context.dependency(Dependency("host")):
        raise TransientError("no answer")
    assert runtime.left == [("host", "TransientError")]


def test_thread_that_waits_for_a_parser_ends_with_its_run() -> None:
    def is_over() -> None:
        raise StoppedError

    slots = ParserSlots(1, is_over)
    with slots, pytest.raises(StoppedError), slots:
        pass
    with slots:
        pass
