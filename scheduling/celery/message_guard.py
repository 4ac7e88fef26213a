"""Rejection of Celery messages that are malformed, unsigned or of unknown tasks.

Redis is not trusted. A message of the platform's tasks runs only if a process that has SECRET_KEY signed it. Celery
rejects messages that it cannot parse at all. Some partly readable ones raise in its event loop: the worker ends, and
the message returns to the queue for the next worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery import Celery
from celery.app.task import Task
from celery.exceptions import InvalidTaskError
from celery.signals import task_rejected, task_unknown
from celery.worker import strategy
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.transport import redis as redis_transport

from scheduling import signals
from scheduling.celery.publishing import OWN_PREFIX, fault_of, is_submission_of_beat

logger = logging.getLogger(__name__)

# Headers that control Celery after a message is accepted; the platform sets none of them.
_STEERING_HEADERS = ("timelimit", "stamps", "stamped_headers")
# Celery's own tasks run others with arguments of the sender's choice.
_BUILT_IN_PREFIX = "celery."


def guard_celery_messages(app: Celery) -> None:
    """Make the workers of this process reject unreadable messages, and unregister Celery's built-in tasks."""
    for name in [name for name in app.tasks if name.startswith(_BUILT_IN_PREFIX)]:
        app.tasks.unregister(name)
    for name, task in app.tasks.items():
        # A fair task belongs to an app: here only a job may run it, under its tenant and its lease.
        task.Strategy = guarded_strategy if name.startswith(OWN_PREFIX) else refusing_strategy
    redis_transport.Transport.Channel = GuardedChannel
    task_unknown.connect(_note_unknown, dispatch_uid="scheduling.strangers.unknown")
    task_rejected.connect(_note_rejected, dispatch_uid="scheduling.strangers.rejected")


def _note_unknown(**_: Any) -> None:
    """Count an unknown task; Celery has logged and dropped it."""
    signals.message_refused.send(None, reason="unknown task")


def _note_rejected(**_: Any) -> None:
    signals.message_refused.send(None, reason="not a job's message")


def guarded_strategy(task: Task, app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Return a Celery strategy that accepts messages which the platform signed, and counts and rejects all others.

    Any error of Celery's own strategy becomes InvalidTaskError.
    """
    receive = strategy.default(task, app, consumer, **options)
    answered = (InvalidTaskError, ContentDisallowed, DecodeError)
    passed_on = (*answered, *consumer.connection_errors, *consumer.channel_errors)

    def receive_guarded(message: Any, *args: Any, **kwargs: Any) -> Any:
        if fault := _fault_of(message):
            signals.message_refused.send(None, reason=fault)
            message.reject_log_error(logger, consumer.connection_errors)
            return None
        for name in _STEERING_HEADERS:
            message.headers.pop(name, None)
        try:
            return receive(message, *args, **kwargs)
        except passed_on:
            raise
        except Exception as error:
            raise InvalidTaskError(f"{type(error).__name__}: {error}") from error

    return receive_guarded


def _fault_of(message: Any) -> str | None:
    try:
        fault = fault_of(message.headers, message.body)
    except Exception:
        logger.exception("message.unreadable")
        return "unreadable"
    # The task itself refuses late messages of beat, and records that in the audit log.
    return None if fault == "too old" and is_submission_of_beat(message.headers) else fault


def refusing_strategy(task: Task, app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Return a Celery strategy that rejects every message of the task."""

    def refuse(message: Any, *args: Any, **kwargs: Any) -> Any:
        raise InvalidTaskError(f"{task.name} runs here only as a job")

    return refuse


class GuardedMessage(redis_transport.Channel.Message):
    """A Redis message of Celery that raises ValueError unless its fields have the types that Celery relies on."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
            is_sound = (
                not self.errors
                and isinstance(self.body, str | bytes)
                and all(isinstance(name, str) for name in (self.headers.get("task", ""), self.delivery_tag))
            )
        except Exception as error:
            # Celery would take a KeyError for a lost connection.
            raise ValueError(f"{type(error).__name__}: {error}") from error
        if not is_sound:
            raise ValueError("The body, the tag or the task name is not text.")


class GuardedQoS(redis_transport.QoS):
    """The unacknowledged messages of a worker; a message that cannot be recorded does not count among them."""

    def append(self, message: Any, delivery_tag: str) -> None:
        try:
            super().append(message, delivery_tag)
        except (KeyError, TypeError, ValueError) as error:
            self._delivered.pop(delivery_tag, None)
            raise ValueError(f"{type(error).__name__}: {error}") from error


class GuardedChannel(redis_transport.Channel):
    """A Redis channel of Celery that drops messages which cannot be read."""

    Message = GuardedMessage
    QoS = GuardedQoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (*self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError):
            # It has left the queue already, so there is nothing to return.
            logger.exception("message.unreadable")
            signals.message_refused.send(None, reason="unreadable")
            raise Empty from None
