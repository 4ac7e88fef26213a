"""The one event loop of a process, which runs in its own thread, for calls that a processor makes concurrently.

A worker's child process creates it at first use, so that no fork inherits a loop without its thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Running:
    loop: asyncio.AbstractEventLoop
    process_id: int


_guard = threading.Lock()
_running: list[_Running] = []


def submit[T](work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start ``work`` on the event loop and return its future.

    To cancel the future cancels ``work`` at its next await.
    """
    return asyncio.run_coroutine_threadsafe(work, _loop())


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` on the event loop, and block this thread until it ends. Return its result."""
    return submit(work).result()


def _loop() -> asyncio.AbstractEventLoop:
    with _guard:
        if not _running or _running[-1].process_id != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="model-endpoints", daemon=True).start()
            _running[:] = [_Running(loop, os.getpid())]
        return _running[-1].loop
