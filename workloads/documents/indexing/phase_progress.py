"""Reporting of the phase that a document is in."""

from __future__ import annotations

import math
import time

from scheduling.kit.base import JobContext
from workloads.documents import repository
from workloads.documents.models import DocumentStatus
from workloads.documents.repository import DocumentSource

# A shorter phase is not visible: it is written with the next one, without a transaction of its own.
SHORT_SECONDS = 0.5


class PhaseProgress:
    """Writer of a document's phases.

    A document that is resumed stays in its phase, because some of its chunks are stored already.
    """

    def __init__(self, context: JobContext, source: DocumentSource) -> None:
        self._context = context
        self._source = source
        self._unwritten: list[tuple[DocumentStatus, float]] = []
        self._written_at = -math.inf

    def begin(self) -> None:
        """Assign the document to this job. It enters the phase parsing at once if nothing else comes first."""
        is_parsed = not (self._source.is_pause_asked or self._source.is_fetch_due or self._source.chunks_done)
        if is_parsed:
            self._unwritten.append((DocumentStatus.PARSING, time.monotonic()))
        self._context.checkpoint(self._context.state, self._take_over)

    def enter(self, status: DocumentStatus) -> None:
        """Enter the next phase. It is written at once only if the last write is SHORT_SECONDS old."""
        if not self._source.chunks_done:
            self._unwritten.append((status, time.monotonic()))
            if time.monotonic() - self._written_at >= SHORT_SECONDS:
                self._context.checkpoint(self._context.state, self.write)
        # Nothing is stored yet to resume from, so only an interruption, which raises, stops the job here.
        self._context.should_yield()

    def write(self) -> None:
        """Write the phases entered since the last write, in the current transaction."""
        now = time.monotonic()
        unwritten, self._unwritten = self._unwritten, []
        if unwritten:
            self._written_at = now
            repository.enter_phases(self._source, [(status, now - at) for status, at in unwritten])

    def _take_over(self) -> None:
        repository.take_over(self._source)
        self.write()
