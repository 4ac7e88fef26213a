"""The platform's settings with an app that measures how a slot's time is spent while documents are indexed.

A slot's time is either the kind's own work, which is what its processor computes and its effects write, or the
platform's: everything else between the message and its settlement, that is start, fences, checkpoints, progress, logs
and settlement.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from jobsplatform.settings import *  # noqa: F403
from jobsplatform.settings import INSTALLED_APPS as PLATFORM_APPS

INSTALLED_APPS = [*PLATFORM_APPS, "benchmarks.clocked.ClockedConfig"]
# The folder that lines are written to.
VARIABLE = "BENCHMARK_CLOCK"
_RUNTIME_METHODS = ("checkpoint", "report_progress", "should_yield", "log", "in_settlement")
# Seconds of the current message; a child runs one at a time.
_clock = {"processor": 0.0, "platform": 0.0, "effects": 0.0}


class ClockedConfig(AppConfig):
    """App that wraps the functions of indexing a document when a worker loads its apps."""

    name = "benchmarks"
    label = "clocked"

    def ready(self) -> None:
        """Wrap the worker's functions if the environment names a folder."""
        folder = os.environ.get(VARIABLE)
        if not folder:
            return
        from scheduling.execution import message
        from scheduling.execution.runtime import ExecutionRuntime
        from workloads.documents.indexing.processor import DocumentIndexing

        message.execute = _message(message.execute, Path(folder))
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
            _clock[account] += time.perf_counter() - began

    return timed


def _with_timed_effects(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method with timed callbacks: effects count as the kind's own, wherever they run."""

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        return method(*(_timed(each, "effects") if callable(each) else each for each in arguments), **options)

    return call


def _message(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    @wraps(function)
    def execute(*arguments: Any, **options: Any) -> Any:
        _clock.update(dict.fromkeys(_clock, 0.0))
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            # Subtract the platform's time inside the processor, and add that of effects.
            line = {
                "slot": time.perf_counter() - began,
                "own": _clock["processor"] - _clock["platform"] + _clock["effects"],
                "is_document": _clock["processor"] > 0,
            }
            with (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")

    return execute
