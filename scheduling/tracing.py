"""Interface to OpenTelemetry, which does almost nothing while no tracer is installed.

The trace context is stored in the job's row, never in a message, because messages are not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Span(Protocol):
    """An open span of a trace."""

    def fail(self, error: str) -> None:
        """Mark the span as failed, with this error."""


class Tracer(Protocol):
    """Interface that an installed tracer must implement."""

    def current_traceparent(self) -> str | None:
        """Return the current trace context in W3C format, or None outside of a trace."""

    def span(
        self, name: str, *, parent: str | None, links: Sequence[str], is_call: bool, attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[Span]:
        """Return a context manager that opens a span; ``parent`` and ``links`` are W3C trace contexts.

        ``is_call``: of a call to a server, which begins no trace.
        """

    def flush(self) -> None:
        """Send the collected spans; call it before the process ends."""


class _NoSpan:
    def fail(self, error: str) -> None:
        """Ignore the error."""


_tracer: Tracer | None = None
_NO_SPAN: AbstractContextManager[Span] = nullcontext(_NoSpan())


def install(tracer: Tracer | None) -> None:
    """Use this tracer from now on, in this process and in processes forked from it; None stops tracing."""
    global _tracer  # noqa: PLW0603 - of this process
    _tracer = tracer


def current_traceparent() -> str | None:
    """Return the current trace context in W3C format, to store it with a job, or None without a tracer or trace."""
    return None if _tracer is None else _tracer.current_traceparent()


def span(
    name: str, *, parent: str | None = None, links: Sequence[str] = (), **attributes: str | int
) -> AbstractContextManager[Span]:
    """Return a context manager that opens a span around its block; without a tracer it does nothing."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, parent=parent, links=links, is_call=False, attributes=attributes)


def call(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """Return a context manager that opens a span of a call to a server, if there is a trace that it belongs to."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, parent=None, links=(), is_call=True, attributes=attributes)


def flush() -> None:
    """Send the collected spans, if a tracer is installed; call it before the process ends."""
    if _tracer is not None:
        _tracer.flush()


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id in a W3C trace context, or None if it is missing or malformed."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None


def is_sampled(traceparent: str | None) -> bool:
    """Return whether a W3C trace context says that its trace is recorded."""
    return trace_id_of(traceparent) is not None and str(traceparent)[-1:] in set("13579bdf")
