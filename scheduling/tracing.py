"""Traces: a door to OpenTelemetry that costs a comparison while nobody traces.

The context travels in the job's row, never in a message: what a message says is believed by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Span(Protocol):
    """A span that is open."""

    def fail(self, error: str) -> None:
        """Mark it as failed."""


class Tracer(Protocol):
    """What observes, once it is installed."""

    def current_traceparent(self) -> str | None:
        """The W3C context of the moment; None outside of any trace."""

    def span(
        self, name: str, *, parent: str | None, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[Span]:
        """Open a span; ``parent`` and ``links`` are W3C contexts."""

    def flush(self) -> None:
        """Send what is collected, before the process ends."""


class _NoSpan:
    def fail(self, error: str) -> None:
        """Nobody looks."""


_tracer: Tracer | None = None
_NO_SPAN: AbstractContextManager[Span] = nullcontext(_NoSpan())


def install(tracer: Tracer) -> None:
    """Trace from now on, in this process and those forked from it."""
    global _tracer  # noqa: PLW0603 - set once at start
    _tracer = tracer


def current_traceparent() -> str | None:
    """The context of the moment, for a job's row."""
    return None if _tracer is None else _tracer.current_traceparent()


def span(
    name: str, *, parent: str | None = None, links: Sequence[str] = (), **attributes: str | int
) -> AbstractContextManager[Span]:
    """A span around what is done inside; without a tracer nothing but the block itself."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, parent=parent, links=links, attributes=attributes)


def flush() -> None:
    """Send what is collected, before the process ends."""
    if _tracer is not None:
        _tracer.flush()


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace that a context belongs to."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
