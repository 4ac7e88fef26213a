"""Forged and replayed messages of an attacker with access to Redis, and their reception by a worker in this process."""

from __future__ import annotations

import base64
import json
from typing import Any
from unittest.mock import MagicMock, patch
from uuid import uuid4

from celery import current_app, signature
from celery.utils.imports import instantiate
from kombu import Connection, Queue
from kombu.transport import redis as redis_transport
from kombu.utils.uuid import uuid
from redis import Redis

from scheduling import signals
from scheduling.celery import tasks as upkeep
from scheduling.celery.message_guard import GuardedChannel, guarded_strategy
from tenants.database.platform_settings import platform_settings


def forge(task: str, args: list[Any], kwargs: dict[str, Any], **headers: Any) -> bytes:
    """Return a message in Celery's format, without a signature."""
    body = base64.b64encode(json.dumps([args, kwargs, {}]).encode()).decode()
    properties = {
        "correlation_id": uuid(),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "x"},
        "body_encoding": "base64",
        "delivery_tag": uuid(),
    }
    return json.dumps(
        {
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": task, "id": uuid(), "lang": "py", "argsrepr": "", "kwargsrepr": "", **headers},
            "properties": properties,
            "body": body,
        }
    ).encode()


def published(task: str, args: list[Any], kwargs: dict[str, Any], **headers: Any) -> bytes:
    """Return a message as the platform publishes it, read from Redis by the attacker."""
    name = f"attack.{uuid4().hex}"
    with Connection(platform_settings.REDIS_URL) as connection, Redis.from_url(platform_settings.REDIS_URL) as client:
        with connection.Producer() as producer:
            signature(task, app=current_app).apply_async(
                args=args, kwargs=kwargs, queue=Queue(name), producer=producer, headers=headers, ignore_result=True
            )
        message = client.rpop(name)
        client.delete(f"_kombu.binding.{name}")
    assert isinstance(message, bytes)
    return message


def altered(message: bytes, *, headers: dict[str, Any] | None = None, body: Any = None) -> bytes:
    """Return the message with other headers, or another body."""
    parsed: dict[str, Any] = json.loads(message)
    parsed["headers"] |= headers or {}
    if body is not None:
        parsed["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps(parsed).encode()


class _NoLimits(dict[str, Any]):
    """Rate limits of tasks: none."""

    def __missing__(self, name: str) -> None:
        return None


def _consumer() -> MagicMock:
    """Return a consumer for a task's strategy, which runs accepted tasks at once."""
    consumer = MagicMock(
        app=current_app._get_current_object(),
        connection_errors=(),
        channel_errors=(),
        event_dispatcher=None,
        disable_rate_limits=True,
        task_buckets=_NoLimits(),
        on_task_request=lambda request: request.execute(),
    )
    consumer.controller.state.revoked = set()
    return consumer


def receive(*messages: bytes, within: float = 5) -> list[str]:
    """Receive the messages as a worker; return the reasons of refusals, and the number that it has not acknowledged."""
    refused: list[str] = []

    def note(sender: object, *, reason: str, **_: Any) -> None:
        refused.append(reason)

    consumer = _consumer()
    name = f"attack.{uuid4().hex}"
    signals.message_refused.connect(note)
    try:
        with (
            patch.object(redis_transport.Transport, "Channel", GuardedChannel),
            Redis.from_url(platform_settings.REDIS_URL) as client,
            Connection(platform_settings.REDIS_URL) as connection,
            connection.SimpleQueue(Queue(name)) as simple,
            # The connection and its transaction belong to the attack.
            patch.object(upkeep, "check_connection"),
        ):
            for text in messages:
                client.lpush(name, text)
                try:
                    message = simple.get(timeout=within)
                except simple.Empty:
                    # The channel has dropped it and reports the reason.
                    continue
                task = consumer.app.tasks[message.headers["task"]]
                guarded_strategy(task, consumer.app, consumer)(
                    message, None, message.ack_log_error, message.reject_log_error, []
                )
            if held := len({*simple.channel.qos._delivered} - {*simple.channel.qos._dirty}):
                refused.append(f"{held} held")
            client.delete(f"_kombu.binding.{name}")
    finally:
        signals.message_refused.disconnect(note)
    return refused


def receive_as_foreign(message: bytes) -> tuple[float, bool]:
    """Receive the message as a foreign Celery process; return the seconds until its return, and whether it is back."""
    consumer = _consumer()
    name = f"attack.{uuid4().hex}"
    with (
        Redis.from_url(platform_settings.REDIS_URL) as client,
        Connection(platform_settings.REDIS_URL) as connection,
        connection.SimpleQueue(Queue(name)) as simple,
    ):
        client.lpush(name, message)
        received = simple.get(timeout=5)
        task = consumer.app.tasks[received.headers["task"]]
        strategy = instantiate(type(task).Strategy, task, consumer.app, consumer)
        strategy(received, None, received.ack_log_error, received.reject_log_error, [])
        (seconds, call_soon, (requeue, *arguments)), _ = consumer.timer.call_after.call_args
        assert call_soon is consumer.call_soon
        requeue(*arguments)
        # It returns to the queue to which it was published.
        own = received.delivery_info["routing_key"]
        is_back = client.llen(own) == 1
        client.delete(own, f"_kombu.binding.{name}")
    return seconds, is_back
