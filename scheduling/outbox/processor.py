"""The processor of the kind `outbox_delivery`: it delivers messages of one route that are due.

The messages of a key are delivered one after another, those of different keys at once. Each result is stored with a
checkpoint, so only the job that holds the messages records it. A kill between the delivery and its record repeats the
delivery with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling import signals
from scheduling.conf import OUTBOX_KIND
from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor, Complete, PermanentError, TransientError
from scheduling.kit.outbox import OutboxDestination, OutboxItem
from scheduling.outbox.adapters import adapters
from scheduling.outbox.models import OutboxMessage, OutboxRoute
from scheduling.outbox.rules import lanes_of
from scheduling.outbox.service import note_delivered, note_failed, release
from tenants.context import tenant_context

# Messages that one job sends at once, and the time after which it begins no further one.
AT_ONCE: Final = 8
SENDING_SECONDS: Final = 60.0


@dataclass(slots=True)
class Work:
    """The messages of a job and where they go; ``error`` says why the target cannot be opened."""

    adapter: str
    messages: Sequence[OutboxMessage]
    destination: OutboxDestination | None = None
    error: str = ""


class OutboxDelivery(AsyncTaskProcessor):
    """Processor of the kind `outbox_delivery`. The dispatchers submit its jobs."""

    kind = OUTBOX_KIND
    title = gettext_noop("Outbox delivery")
    description = gettext_noop("Delivers messages that jobs have emitted to a route; each is retried by itself.")
    payload_schema = {
        "type": "object",
        "properties": {"route": {"type": "string", "format": "uuid"}},
        "required": ["route"],
        "additionalProperties": False,
    }
    timeout_seconds = 150.0
    is_internal = True
    # A target fails, not the kind.
    has_circuit = False

    async def process(self, context: AsyncJobContext) -> Complete:  # type: ignore[override]  # as its base does
        work = await context.run(read_work, context.tenant_id, context.job_id, UUID(context.payload["route"]))
        context.in_settlement(partial(release, context.job_id))
        run = _Run(context, work, iter(lanes_of(work.messages)))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(work.messages))):
                group.create_task(run.send_lanes())
        return Complete(dict(run.counts))


def read_work(tenant_id: UUID, job_id: UUID, route_id: UUID) -> Work:
    """Return the messages that a job is to deliver, in order, with their opened target."""
    with tenant_context(tenant_id):
        rows = OutboxMessage.objects.filter(delivery_job_id=job_id, state=OutboxMessage.State.PENDING)
        messages = list(rows.order_by("created_at", "pk"))
        for message in messages:
            # Opened here: an encrypted body needs the database for its key.
            _ = message.body
        route = OutboxRoute.objects.filter(pk=route_id).first()
        if route is None:
            return Work("", messages, error="The route was deleted.")
        try:
            adapter = adapters()[route.adapter]
            return Work(route.adapter, messages, adapter.open(tenant_id=tenant_id, target=route.target))
        except KeyError:
            return Work(route.adapter, messages, error=f"There is no adapter {route.adapter}.")
        except (PermanentError, TransientError) as error:
            return Work(route.adapter, messages, error=str(error))


@dataclass(slots=True)
class _Run:
    context: AsyncJobContext
    work: Work
    lanes: Iterator[Sequence[OutboxMessage]]
    counts: dict[str, int] = field(default_factory=lambda: {"delivered": 0, "failed": 0})
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def send_lanes(self) -> None:
        """Send lanes until none is left or the time is up; a failure ends its lane."""
        for lane in self.lanes:
            for message in lane:
                if await self._is_over():
                    return
                if not await self._send(message):
                    break

    async def _is_over(self) -> bool:
        is_late = asyncio.get_running_loop().time() - self.began > SENDING_SECONDS
        return is_late or await self.context.should_yield()

    async def _send(self, message: OutboxMessage) -> bool:
        """Send a message and record the result; return whether it was delivered."""
        job_id = self.context.job_id
        try:
            await self._pass_on(message)
        except PermanentError as error:
            record = partial(note_failed, message, job_id, str(error), is_final=self.work.destination is not None)
        except TransientError as error:
            wait = error.retry_after_seconds
            record = partial(note_failed, message, job_id, str(error), retry_after_seconds=wait)
        except Exception as error:  # noqa: BLE001 - a fault of an adapter fails the attempt, not the others
            self.context.log("adapter failed", level="error", error=repr(error))
            record = partial(note_failed, message, job_id, f"{type(error).__name__}: {error}")
        else:
            record = partial(note_delivered, message.pk, job_id)
        is_delivered = record.func is note_delivered
        self.counts["delivered" if is_delivered else "failed"] += 1
        await self.context.checkpoint(dict(self.counts), record)
        signals.outbox_attempted.send(None, adapter=self.work.adapter, is_delivered=is_delivered)
        return is_delivered

    async def _pass_on(self, message: OutboxMessage) -> None:
        if (destination := self.work.destination) is None:
            raise PermanentError(self.work.error, code="target_unusable")
        item = OutboxItem(
            message.pk, message.tenant_id, message.topic, message.key, message.body, message.created_at
        )  # fmt: skip
        async with self.context.dependency(destination.dependency):
            await asyncio.to_thread(destination.send, item)
