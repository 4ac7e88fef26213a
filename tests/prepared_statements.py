"""Capture of prepared statements, which Django's own capture does not record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants.database.prepared import watch_statements


@contextmanager
def seen_statements() -> Iterator[list[str]]:
    """Yield a list that collects the statements of the block."""
    seen: list[str] = []

    @contextmanager
    def note(text: str) -> Iterator[None]:
        seen.append(text)
        yield

    watch_statements(note)
    try:
        yield seen
    finally:
        watch_statements(None)
