"""Python's ``logging`` of a plug-in's own code, led into the log of the job that runs.

A record is taken when it comes from a namespace of the job's kind and from the context of its
execution: the processor's thread, and threads that it gives a copy of its context. A thread that
outlives its job keeps the context of that job and never writes into the next one's log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from scheduling.processors.base import TaskProcessor
from scheduling.worker.job_log import JobLogWriter

_current: ContextVar[JobLogWriter | None] = ContextVar("job_log", default=None)


class JobLogHandler(logging.Handler):
    """Adds records to the log of the execution in whose context they are made."""

    def emit(self, record: logging.LogRecord) -> None:
        writer = _current.get()
        if writer is None:
            return
        try:
            fields = {"logger": record.name}
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                fields["error"] = f"{type(error).__name__}: {error}"
            writer.add(record.getMessage(), _level_of(record.levelno), fields)
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)


_handler = JobLogHandler()


@contextmanager
def capturing(kind: type[TaskProcessor], writer: JobLogWriter) -> Iterator[None]:
    """Lead the records of the kind's namespaces into ``writer`` while its processor runs."""
    loggers = _loggers_of(kind)
    token = _current.set(writer)
    for each in loggers:
        each.addHandler(_handler)
    try:
        yield
    finally:
        for each in loggers:
            each.removeHandler(_handler)
        _current.reset(token)


@cache
def _loggers_of(kind: type[TaskProcessor]) -> Sequence[logging.Logger]:
    return [logging.getLogger(name) for name in namespaces_of(kind)]


def namespaces_of(kind: type[TaskProcessor]) -> Sequence[str]:
    """The loggers that belong to the kind: as it says, else the package that its class stands in."""
    if kind.log_namespaces is not None:
        return kind.log_namespaces
    package = kind.__module__.rpartition(".")[0]
    return [package or kind.__module__]


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
