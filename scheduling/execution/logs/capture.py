"""Python's ``logging`` of a plug-in's own code, led into the log of the job that runs.

A record is taken when it comes from a namespace of the job's kind and from the context of its
execution: the processor's thread, and threads that it gives a copy of its context. A thread that
outlives its job keeps the context of that job and never writes into the next one's log.

The loggers keep the handler once a job of the kind has run: hanging it up and taking it down was a part of a small job.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from scheduling.execution.logs.job_log import JobLogWriter
from scheduling.kit.base import TaskProcessor

type _Capture = tuple[JobLogWriter, Sequence[str]]

_current: ContextVar[_Capture | None] = ContextVar("job_log", default=None)
# On a record that has been taken: it comes by again where the namespaces of two kinds lie within one another.
_TAKEN = "_taken_by_job_log"


class JobLogHandler(logging.Handler):
    """Adds records to the log of the execution in whose context they are made."""

    def emit(self, record: logging.LogRecord) -> None:
        current = _current.get()
        if current is None or hasattr(record, _TAKEN) or not _is_within(record.name, current[1]):
            return
        writer = current[0]
        setattr(record, _TAKEN, True)
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
    namespaces, loggers = _named_by(kind)
    for each in loggers:
        if _handler not in each.handlers:
            each.addHandler(_handler)
    token = _current.set((writer, namespaces))
    try:
        yield
    finally:
        _current.reset(token)


@cache
def _named_by(kind: type[TaskProcessor]) -> tuple[Sequence[str], Sequence[logging.Logger]]:
    namespaces = namespaces_of(kind)
    return namespaces, [logging.getLogger(name) for name in namespaces]


def namespaces_of(kind: type[TaskProcessor]) -> Sequence[str]:
    """The loggers that belong to the kind: as it says, else the package that its class stands in."""
    if kind.log_namespaces is not None:
        return kind.log_namespaces
    package = kind.__module__.rpartition(".")[0]
    return [package or kind.__module__]


def _is_within(name: str, namespaces: Sequence[str]) -> bool:
    # The empty one is the root's: all there are.
    return any(not each or name == each or name.startswith(f"{each}.") for each in namespaces)


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
