"""Which phase a document is in, for whoever looks at it."""

from __future__ import annotations

import math
import time

from scheduling.kit.base import JobContext
from workloads.documents import repository
from workloads.documents.models import DocumentStatus
from workloads.documents.repository import DocumentSource

# What is over sooner nobody could have seen; it is told with what comes next, and costs no transaction of its own.
SHORT_SECONDS = 0.5


class Phases:
    """Tells of phases as they are entered; a resumed document stays where it was, for its reader has seen chunks."""

    def __init__(self, context: JobContext, source: DocumentSource) -> None:
        self._context = context
        self._source = source
        self._untold: list[tuple[DocumentStatus, float]] = []
        self._told_at = -math.inf

    def begin(self) -> None:
        """Take the document over; where nothing else comes before, it is parsed from now on."""
        is_parsed = not (self._source.is_pause_asked or self._source.is_fetch_due or self._source.chunks_done)
        if is_parsed:
            self._untold.append((DocumentStatus.PARSING, time.monotonic()))
        self._context.checkpoint(self._context.state, self._take_over)

    def enter(self, status: DocumentStatus) -> None:
        """The next phase begins."""
        if not self._source.chunks_done:
            self._untold.append((status, time.monotonic()))
            if time.monotonic() - self._told_at >= SHORT_SECONDS:
                self._context.checkpoint(self._context.state, self.tell)
        # Nothing is stored yet that could go on from here, so only an interruption, which raises, ends it.
        self._context.should_yield()

    def tell(self) -> None:
        """Effect: all that was entered since the last time."""
        now = time.monotonic()
        untold, self._untold = self._untold, []
        if untold:
            self._told_at = now
            repository.enter_phases(self._source, [(status, now - at) for status, at in untold])

    def _take_over(self) -> None:
        repository.take_over(self._source)
        self.tell()
