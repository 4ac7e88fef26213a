"""Messages of a stream in the format of https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scheduling.jobs.history import visible_event_data
from scheduling.streams.event_feed import FedEvent, FeedPosition

# Milliseconds after which a browser reconnects.
RETRY_MS = 2_000
HEARTBEAT = b": still here\n\n"


def opening_message() -> bytes:
    """Return the first bytes of a stream, which show the client that it is connected."""
    return f"retry: {RETRY_MS}\n: connected\n\n".encode()


def event_message(fed: FedEvent) -> bytes:
    """Return the message of a job event; its id is the position from which a client can resume."""
    event = fed.event
    data = {
        "id": str(event.id),
        "job": str(event.job_id),
        "kind": fed.kind,
        "at": event.at.isoformat().replace("+00:00", "Z"),
        "name": event.name,
        "state": event.state,
        "actor": event.actor,
        "request_id": event.request_id,
        "execution": str(event.execution_id) if event.execution_id else None,
        "data": visible_event_data(event),
    }
    return _message(data, position=fed.position)


def control_message(name: str, data: Mapping[str, Any], position: FeedPosition | None = None) -> bytes:
    """Return a message that is not a job event, such as `ready`, `gap` or `end`."""
    return _message(data, name=name, position=position)


def _message(data: Mapping[str, Any], *, name: str = "", position: FeedPosition | None = None) -> bytes:
    lines = [f"id: {position}"] if position is not None else []
    lines += [f"event: {name}"] if name else []
    # Compact JSON contains no line breaks.
    lines.append(f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}")
    return ("\n".join(lines) + "\n\n").encode()
