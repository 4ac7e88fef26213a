"""Locking and expiry of the page parts that are cached in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.utils.safestring import SafeString, mark_safe

from tenants.console import polled_parts
from tenants.context import Scope
from tests.platform_settings import override_platform_settings

THREADS = 8
WAIT_SECONDS = 10.0
type Asking = Callable[[Callable[[], SafeString]], Future[str]]


class Drawing:
    """Rendering of a part that a test can hold back, with the number of renderings."""

    def __init__(self) -> None:
        self.count = 0
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def __call__(self) -> SafeString:
        self.count += 1
        number = self.count
        self.has_begun.set()
        assert self.may_end.wait(WAIT_SECONDS)
        return mark_safe(f"<p>{number}</p>")

    def hold_back(self) -> None:
        """Let no further rendering end until `may_end` is set."""
        self.has_begun.clear()
        self.may_end.clear()


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """Return a function that reads a cached part in another thread and returns its future."""
    monkeypatch.setattr(polled_parts, "require_scope", lambda: Scope(tenant_id=None))
    monkeypatch.setattr(polled_parts, "KEPT_SECONDS", 60.0)
    part = polled_parts.CachedPart("part")
    with (
        override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0),
        ThreadPoolExecutor(max_workers=THREADS) as threads,
    ):
        yield lambda draw: threads.submit(lambda: part.get(draw).body)


def test_part_is_rendered_once_for_concurrent_requests(asking: Asking) -> None:
    drawing = Drawing()
    drawing.hold_back()
    answers = [asking(drawing) for _ in range(THREADS)]
    assert drawing.has_begun.wait(WAIT_SECONDS)
    drawing.may_end.set()
    assert {answer.result(WAIT_SECONDS) for answer in answers} == {"<p>1</p>"}
    assert drawing.count == 1


def test_stale_part_is_served_while_it_is_rendered(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = Drawing()
    asking(drawing).result(WAIT_SECONDS)
    monkeypatch.setattr(polled_parts, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(polled_parts, "STALE_SECONDS", 60.0)
    drawing.hold_back()
    redrawn = asking(drawing)
    assert drawing.has_begun.wait(WAIT_SECONDS)
    assert [asking(drawing).result(WAIT_SECONDS) for _ in range(3)] == ["<p>1</p>"] * 3
    drawing.may_end.set()
    assert redrawn.result(WAIT_SECONDS) == "<p>2</p>"
    assert drawing.count == 2


def test_request_for_part_beyond_stale_limit_waits_for_rendering(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = Drawing()
    asking(drawing).result(WAIT_SECONDS)
    monkeypatch.setattr(polled_parts, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(polled_parts, "STALE_SECONDS", 0.0)
    drawing.hold_back()
    redrawn = asking(drawing)
    assert drawing.has_begun.wait(WAIT_SECONDS)
    waiting = asking(drawing)
    with pytest.raises(TimeoutError):
        waiting.result(0.05)
    monkeypatch.setattr(polled_parts, "KEPT_SECONDS", 60.0)
    drawing.may_end.set()
    assert [redrawn.result(WAIT_SECONDS), waiting.result(WAIT_SECONDS)] == ["<p>2</p>"] * 2
    assert drawing.count == 2


def test_part_with_failed_rendering_is_rendered_by_the_next_request(asking: Asking) -> None:
    def fail() -> SafeString:
        raise LookupError

    with pytest.raises(LookupError):
        asking(fail).result(WAIT_SECONDS)
    assert asking(Drawing()).result(WAIT_SECONDS) == "<p>1</p>"


def test_etag_is_computed_once_per_rendering(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[str] = []

    def take(body: str) -> str:
        bodies.append(body)
        return '"1"'

    monkeypatch.setattr(polled_parts, "etag_of", take)
    drawing = Drawing()
    for _ in range(3):
        asking(drawing).result(WAIT_SECONDS)
    assert bodies == ["<p>1</p>"]
