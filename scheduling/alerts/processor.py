"""The processor of the kind `alert_delivery`: one attempt to deliver a message."""

from __future__ import annotations

import asyncio
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.alerts.delivery import DELAYS_SECONDS, claim, settle, transmit
from scheduling.conf import ALERT_KIND
from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor, Complete, PermanentError, TransientError


class AlertDelivery(AsyncTaskProcessor):
    """Processor of the kind `alert_delivery`. Each job delivers one message, unless a dispatcher has done so."""

    kind = ALERT_KIND
    title = gettext_noop("Alert message")
    description = gettext_noop("Delivers a message about alerts to a contact; retries for two hours.")
    payload_schema = {
        "type": "object",
        "properties": {"message": {"type": "string", "format": "uuid"}},
        "required": ["message"],
        "additionalProperties": False,
    }
    timeout_seconds = 120.0
    max_retries = len(DELAYS_SECONDS)
    retry_delays_seconds = DELAYS_SECONDS
    is_internal = True
    # A contact fails, not the kind: messages to others continue.
    has_circuit = False

    async def process(self, context: AsyncJobContext) -> Complete:  # type: ignore[override]  # as its base does
        sending = await context.run(claim, UUID(context.payload["message"]))
        if sending is None:
            return Complete({"skipped": True})
        # Mail has no coroutine; it uses no database.
        result = await asyncio.to_thread(transmit, sending)
        delay = await context.run(settle, sending, result)
        if not result.error:
            return Complete({"status": result.status})
        if delay is None:
            raise PermanentError(result.error, code="not_delivered")
        raise TransientError(result.error, code="not_delivered", retry_after_seconds=delay)
