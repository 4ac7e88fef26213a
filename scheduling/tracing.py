"""The interface to OpenTelemetry; it costs a comparison while no tracer is installed.

The trace context is stored in the job's row, never in a message, because messages are not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Span(Protocol):
    """An open span."""

    def fail(self, error: str) -> None:
        """Mark it as failed."""


class Tracer(Protocol):
    """The interface of a tracer, once it is installed."""

    def current_traceparent(self) -> str | None:
        """Return the current W3C context; None outside of any trace."""

    def span(
        self, name: str, *, parent: str | None, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[Span]:
        """Open a span; ``parent`` and ``links`` are W3C contexts."""

    def flush(self) -> None:
        """Send the collected spans, before the process ends."""


class _NoSpan:
    def fail(self, error: str) -> None:
        """Ignore the error."""


_tracer: Tracer | None = None
_NO_SPAN: AbstractContextManager[Span] = nullcontext(_NoSpan())


def install(tracer: Tracer) -> None:
    """Trace from now on, in this process and those forked from it."""
    global _tracer  # noqa: PLW0603 - set once at start
    _tracer = tracer


def current_traceparent() -> str | None:
    """Return the current context, for a job's row; None without one."""
    return None if _tracer is None else _tracer.current_traceparent()


def span(
    name: str, *, parent: str | None = None, links: Sequence[str] = (), **attributes: str | int
) -> AbstractContextManager[Span]:
    """Open a span around a block; without a tracer do nothing."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, parent=parent, links=links, attributes=attributes)


def flush() -> None:
    """Send the collected spans, before the process ends."""
    if _tracer is not None:
        _tracer.flush()


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id of a context, or None."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
