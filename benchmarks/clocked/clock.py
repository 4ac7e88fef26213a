"""Whose time a slot's time is: the kind's own work, or what the platform does around it.

Own work is what the processor computes and what its effects write. The platform's is all else between the message and
its settlement: the start, fences, checkpoints, progress, logs, the settlement.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

VARIABLE = "BENCHMARK_CLOCK"
_RUNTIME_METHODS = ("checkpoint", "report_progress", "should_yield", "log", "in_settlement")


class _Clock:
    """Seconds of the message of the moment; a child runs one at a time."""

    def __init__(self) -> None:
        self.processor = self.platform = self.effects = 0.0


_clock = _Clock()


def wind() -> None:
    """Wrap the worker's functions; lines go to the folder that the environment names."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    from scheduling.processors.document_indexing.processor import DocumentIndexing
    from scheduling.tasks import execute as task
    from scheduling.worker.runtime import ExecutionRuntime

    task.execute_message = _message(task.execute_message, Path(folder))
    DocumentIndexing.process = _timed(DocumentIndexing.process, "processor")  # type: ignore[method-assign]
    for name in _RUNTIME_METHODS:
        setattr(ExecutionRuntime, name, _timed(_with_timed_effects(getattr(ExecutionRuntime, name)), "platform"))


def _timed(function: Callable[..., Any], account: str) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            setattr(_clock, account, getattr(_clock, account) + time.perf_counter() - began)

    return timed


def _with_timed_effects(method: Callable[..., Any]) -> Callable[..., Any]:
    """Effects are the kind's own, wherever they run."""

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        return method(*(_timed(a, "effects") if callable(a) else a for a in arguments), **options)

    return call


def _message(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    @wraps(function)
    def execute(*arguments: Any, **options: Any) -> Any:
        global _clock  # noqa: PLW0603 - of this child
        _clock = _Clock()
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            # What runs in the processor and is the platform's is taken out of it; effects are given back.
            line = {
                "slot": time.perf_counter() - began,
                "own": _clock.processor - _clock.platform + _clock.effects,
                "is_document": _clock.processor > 0,
            }
            with (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")

    return execute
