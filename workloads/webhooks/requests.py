"""What requests to webhooks have in common: limits, body, and what an answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scheduling.kit.base import PermanentError, TransientError
from scheduling.kit.http import Answer, Limits

LIMITS = Limits(connect_seconds=5.0, read_seconds=15.0, total_seconds=20.0, body_bytes=16_384, redirects=0)
GONE = 410


def body_of(message_id: str, event: str, data: Mapping[str, Any], timestamp: str | None) -> bytes:
    """Return the request's body, which is the same bytes at each attempt."""
    message = {"id": message_id, "type": event, "data": data}
    if timestamp is not None:
        message["timestamp"] = timestamp
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def conclude(answer: Answer) -> int:
    """Return the status if it is 2xx; raise `PermanentError` for 410, `TransientError` for any other status."""
    if 200 <= answer.status < 300:
        return answer.status
    message, code = f"The webhook answered with the status {answer.status}.", f"http_{answer.status}"
    if answer.status == GONE:
        raise PermanentError(message, code=code)
    raise TransientError(message, code=code, retry_after_seconds=answer.retry_after_seconds)
