"""The numbers of retrieval, with their defaults."""

from __future__ import annotations

from django.conf import settings

# Chunks of one dataset that are searched exactly. On two busy cores this many took 0.35 s by vector (512
# dimensions) and 0.5 s by words; an approximate index loses recall and is worth it only beyond.
DEFAULT_EXACT_SEARCH_MAX_CHUNKS = 100_000


def exact_search_max_chunks() -> int:
    """The size from which a dataset is given an index of its own."""
    return int(getattr(settings, "EXACT_SEARCH_MAX_CHUNKS", DEFAULT_EXACT_SEARCH_MAX_CHUNKS))
