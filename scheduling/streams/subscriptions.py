"""A client of the event feed, and the queue between the thread that reads events and the client's connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from django.http import HttpRequest

from scheduling.streams.event_feed import FeedPosition
from scheduling.streams.messages import HEARTBEAT, control_message, opening_message
from tenants.access.permissions import Permission

HEARTBEAT_SECONDS = 5.0
# Batches that may wait for a slow client. Beyond them it is disconnected, and resumes after the last one received.
MAX_WAITING = 100


class StreamSubscription:
    """A client that receives the events of one tenant's jobs, or of one job until it has ended.

    With ``reads_output`` it receives the output of its job too.

    The reading thread calls `offer`; the event loop of the client's connection calls `begin` and `receive`.
    """

    def __init__(
        self,
        request: HttpRequest,
        permission: Permission,
        *,
        tenant_id: UUID,
        after: FeedPosition | None,
        job_id: UUID | None = None,
        has_ended: bool = False,
        reads_output: bool = False,
    ) -> None:
        self.request = request
        # Without one of these the stream ends.
        self.permissions = [permission, Permission.JOBS_RESULTS] if reads_output else [permission]
        self.reads_output = reads_output
        self.tenant_id = tenant_id
        self.job_id = job_id
        self.after = after
        # Whether the job had ended before the stream began: then all of its events are past.
        self.has_ended = has_ended
        # The transaction before which all of these were written.
        self.past_until: int | None = None
        self.is_live = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue(MAX_WAITING)

    def offer(self, messages: Sequence[bytes], *, is_last: bool = False) -> None:
        """Queue messages for the client; ``is_last`` ends the stream. The reading thread calls this."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._put, (b"".join(messages), is_last))

    def end(self, reason: str) -> None:
        """Send the client an `end` message with this reason, and end the stream."""
        self.offer([control_message("end", {"reason": reason})], is_last=True)

    async def receive(self) -> AsyncIterator[bytes]:
        """Yield queued messages until the stream ends, and a heartbeat if there are none for HEARTBEAT_SECONDS."""
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
        """Accept messages from now on, for the running event loop; return the first bytes of the stream."""
        self._loop = asyncio.get_running_loop()
        return opening_message()

    def _put(self, batch: tuple[bytes, bool]) -> None:
        try:
            self._queue.put_nowait(batch)
        except asyncio.QueueFull:
            # Drop all of the queue, so that the client resumes without a gap.
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait((control_message("end", {"reason": "too_slow"}), True))
