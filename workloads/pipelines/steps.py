"""What the threads of one run share, and the fetching of sources."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any

from scheduling.kit.base import Dependency, Interrupted, JobContext, TransientError
from scheduling.kit.http import Limits, open_headers, read_target
from workloads.documents.embedding import Embedder
from workloads.documents.extraction.limits import MIB
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem
from workloads.documents.one_item.steps import StepContext

PAGE_LIMITS = Limits(read_seconds=30.0, total_seconds=60.0, body_bytes=10 * MIB, redirects=5)
# Parsing processes per child of a worker: each may use as much memory again.
MAX_PARSERS = 2


class ParserSlots:
    """A semaphore whose waiting threads call ``check_running``, which may raise an exception to end the wait."""

    def __init__(self, slots: int, check_running: Callable[[], object]) -> None:
        self._semaphore = threading.Semaphore(slots)
        self._check_running = check_running

    def __enter__(self) -> None:
        while not self._semaphore.acquire(timeout=0.25):
            self._check_running()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._semaphore.release()


def thread_context(context: JobContext, embedder: Embedder, check_running: Callable[[], object]) -> StepContext:
    """Return the `StepContext` that a run's threads share; ``check_running`` may raise an exception to end a step."""
    lock = threading.Lock()

    @contextmanager
    def dependency(needed: Dependency) -> Iterator[None]:
        """Enter and leave the job context's own manager, which is not thread-safe, in one thread at a time."""
        scope = context.dependency(needed)
        with lock:
            scope.__enter__()
        try:
            yield
        except BaseException as error:
            with lock:
                scope.__exit__(type(error), error, error.__traceback__)
            raise
        with lock:
            scope.__exit__(None, None, None)

    # A local model serves one thread at a time.
    model_slot = nullcontext() if embedder.dependency else threading.Lock()
    return StepContext(check_running, dependency, ParserSlots(MAX_PARSERS, check_running), model_slot)


def fetch(source: Mapping[str, Any], item: IndexingItem, context: StepContext) -> IndexingItem:
    """Return the item with the content of a source of the type text or url.

    Secrets in the headers of a request are decrypted for it and not stored.
    """
    if source["type"] == "text":
        return steps.fetch_text(item, source["text"])
    url = source["url"]
    headers = open_headers(item.tenant_id, url, source.get("headers", {}).items())
    try:
        return steps.fetch_page(item, url, context, headers=headers, limits=PAGE_LIMITS)
    except Interrupted as interruption:
        if interruption.cause != "dependency":
            raise
        # The whole run does not wait for one host that is down.
        host = read_target(url).authority
        raise TransientError(
            f"{host} has failed too often; requests to it are suspended for now.", code="host_down"
        ) from None
