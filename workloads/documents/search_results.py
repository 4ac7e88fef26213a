"""What a search returns: chunks with scores and places, and the durations of its parts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.utils.safestring import SafeString

from workloads.documents.highlighting import Span, mark_highlights
from workloads.documents.models import Chunk


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that matched a search, with its document.

    ``text`` is that of its parent, or its own if it has none. The score is 0 to 1, and by vectors as low as -1; scores
    of one mode can be compared between datasets. ``highlights`` are the places of the query's terms in the text, and
    ``duplicates`` the chunks with nearly the same text that would have followed.
    """

    chunk: Chunk
    text: str
    score: float
    highlights: Sequence[Span] = ()
    duplicates: Sequence[Chunk] = ()

    @property
    def marked(self) -> SafeString:
        """Return the text as HTML with its highlights in ``<mark>``."""
        return mark_highlights(self.text, self.highlights)


@dataclass(slots=True)
class Timings:
    """The durations of the parts of a search, in milliseconds, by the name of the part."""

    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the duration of the block under this name."""
        began = time.perf_counter()
        yield
        self.parts[name] = round((time.perf_counter() - began) * 1_000, 1)
