"""One client of a feed: who it is, what it is told, and the queue between the reader's thread and its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from django.http import HttpRequest

from scheduling.selectors.event_feed import Position
from scheduling.streams.messages import HEARTBEAT, control_message, opening
from tenants.permissions import Permission

HEARTBEAT_SECONDS = 5.0
# Batches that may wait for a slow client. Beyond them it is cut off, and resumes after what it has got.
MAX_WAITING = 100


class Subscription:
    """What a feed knows of a client. The reader's thread offers; the client's own loop takes."""

    def __init__(self, request: HttpRequest, permission: Permission) -> None:
        self.request = request
        self.permission = permission
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue(MAX_WAITING)

    def offer(self, messages: Sequence[bytes], *, is_last: bool = False) -> None:
        """Hand over what happened; called by the reader."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._put, (b"".join(messages), is_last))

    def end(self, reason: str) -> None:
        """End the stream and say why."""
        self.offer([control_message("end", {"reason": reason})], is_last=True)

    async def receive(self) -> AsyncIterator[bytes]:
        """What the client is sent, until the stream is over; a sign of life where there is nothing else."""
        while True:
            try:
                messages, is_last = await asyncio.wait_for(self._queue.get(), HEARTBEAT_SECONDS)
            except TimeoutError:
                yield HEARTBEAT
                continue
            yield messages
            if is_last:
                return

    def begin(self) -> bytes:
        """Take part from now on, in the loop that runs."""
        self._loop = asyncio.get_running_loop()
        return opening()

    def _put(self, batch: tuple[bytes, bool]) -> None:
        try:
            self._queue.put_nowait(batch)
        except asyncio.QueueFull:
            # What it has not taken is dropped in one piece, so that it resumes without a hole.
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait((control_message("end", {"reason": "too_slow"}), True))


class EventSubscription(Subscription):
    """A client that is told what happens to one tenant's jobs, or to one of them until it has ended."""

    def __init__(
        self,
        request: HttpRequest,
        permission: Permission,
        *,
        tenant_id: UUID,
        after: Position | None,
        job_id: UUID | None = None,
        has_ended: bool = False,
    ) -> None:
        super().__init__(request, permission)
        self.tenant_id = tenant_id
        self.job_id = job_id
        self.after = after
        # Whether the job had ended before the stream began: then its past is all there is.
        self.has_ended = has_ended
        # The transaction before which all of that past was written.
        self.past_until: int | None = None
        self.is_live = False
