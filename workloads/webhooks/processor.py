"""The processor of webhook deliveries: one signed POST request per attempt, retried until it is accepted.

All attempts of a delivery have the same id and body; each has its own time and signature.
"""

from __future__ import annotations

import time
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import (
    MAX_DEPENDENCY_CHARACTERS,
    AsyncJobContext,
    AsyncTaskProcessor,
    Complete,
    PermanentError,
    TransientError,
)
from scheduling.kit.http import Answer, read_target, send_async
from tenants.secrets.signing import headers_of
from workloads.webhooks.endpoints import KIND, Endpoint, open_endpoint, record_attempt
from workloads.webhooks.requests import LIMITS, body_of, conclude

# Minutes at first, hours at last: a day and a half in all.
DELAYS_SECONDS = (10.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 21_600.0, 86_400.0)


class WebhookDelivery(AsyncTaskProcessor):
    """Processor of the kind `webhook_delivery`. Each job delivers one event to one webhook."""

    kind = KIND
    title = gettext_noop("Webhook delivery")
    description = gettext_noop(
        "Delivers an event to one of the tenant's webhooks, signed; retries for a day and a half until it is "
        "accepted.\n\nCreated by events, such as the end of a job or a batch, and by the button that tests a "
        "webhook."
    )
    payload_schema = {
        "type": "object",
        "properties": {
            "webhook": {"type": "string", "format": "uuid"},
            "event": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[a-z][a-z0-9_.]*\Z"},
            "timestamp": {"type": "string", "format": "date-time", "maxLength": 40},
            "data": {"type": "object"},
        },
        "required": ["webhook", "event", "data"],
        "additionalProperties": False,
    }
    timeout_seconds = 60.0
    max_retries = len(DELAYS_SECONDS)
    retry_delays_seconds = DELAYS_SECONDS
    # A delivery is signed: only the platform may create one.
    is_internal = True
    # A host fails, not the kind: deliveries to others continue.
    has_circuit = False

    async def process(self, context: AsyncJobContext) -> Complete:  # type: ignore[override]  # as its base does
        endpoint = await context.run(open_endpoint, context.tenant_id, UUID(context.payload["webhook"]))
        host = read_target(endpoint.url).authority[:MAX_DEPENDENCY_CHARACTERS]
        async with context.dependency(host):
            answer = await deliver(context, endpoint)
            context.log("answered", status=answer.status)
            return Complete({"status": conclude(answer)})


async def deliver(context: AsyncJobContext, endpoint: Endpoint) -> Answer:
    """Send the request and record the attempt. Return the response, or raise the error of a failed request."""
    payload = context.payload
    body = body_of(context.idempotency_key, payload["event"], payload["data"], payload.get("timestamp"))
    now, began = int(time.time()), time.monotonic()
    signed = headers_of(endpoint.secrets, message_id=context.idempotency_key, timestamp=now, body=body)
    status, error, text = None, "", ""
    try:
        headers = [("Content-Type", "application/json"), *signed]
        answer = await send_async("POST", endpoint.url, headers=headers, body=body, limits=LIMITS)
    except (PermanentError, TransientError) as failure:
        error = str(failure)
        raise
    else:
        status, text = answer.status, answer.body.decode("utf-8", "replace").replace("\0", "\ufffd")
        return answer
    finally:
        # Not for an interruption, after which it is unknown whether the delivery arrived: the job is requeued and
        # delivers again.
        if status is not None or error:
            await context.run(
                record_attempt,
                tenant_id=context.tenant_id,
                webhook_id=UUID(context.payload["webhook"]),
                job_id=context.job_id,
                event=context.payload["event"],
                attempt=context.attempt,
                seconds=time.monotonic() - began,
                status=status,
                error=error,
                answer=text,
            )
