"""The settings of stored runs, with their defaults."""

from __future__ import annotations

from typing import Final

from django.conf import settings

# Where a value stands in its row, a page of the list of nodes reads it; beyond, PostgreSQL would keep it apart anyway.
DEFAULT_INLINE_VALUE_BYTES: Final = 8 * 1024


def inline_value_bytes() -> int:
    """The size of JSON up to which a value stays in its row."""
    return int(getattr(settings, "WORKFLOW_INLINE_VALUE_BYTES", DEFAULT_INLINE_VALUE_BYTES))
