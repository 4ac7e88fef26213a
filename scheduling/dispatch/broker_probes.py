"""Probes of the broker: whether it answers, whether it drops messages, and whether it restarted empty."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import uuid4

import redis

from scheduling.dispatch.broker import BROKER_ERRORS, breaker, client
from scheduling.exceptions import BrokerUnavailableError
from tenants.database.platform_settings import platform_settings

# It disappears when the broker restarts empty; its absence means that every message is lost.
EPOCH_KEY = "jobsplatform:broker:epoch"
# A broker that needs longer for an answer is as good as absent.
ANSWER_SECONDS = 2.0


def probe() -> None:
    """Raise BrokerUnavailableError unless the broker answers now."""
    try:
        client().ping()
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    breaker().note_success()


def find_silence() -> str:
    """Return why the broker does not answer within ANSWER_SECONDS, or an empty text."""
    try:
        watching_client().ping()
    except BROKER_ERRORS as error:
        return str(error) or type(error).__name__
    return ""


@cache
def watching_client() -> redis.Redis:
    """Return a client that waits ANSWER_SECONDS."""
    url, seconds = platform_settings.REDIS_URL, ANSWER_SECONDS
    return redis.Redis.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds)


def read_eviction_policy() -> str:
    """Return the name of the policy by which the broker evicts keys when its memory is full.

    Raise BrokerUnavailableError.
    """
    try:
        memory: dict[str, Any] = client().info("memory")
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    return str(memory.get("maxmemory_policy", "unknown"))


def read_memory_part() -> float | None:
    """Return the part of the broker's memory that is in use; None if it has no limit.

    Raise BrokerUnavailableError after ANSWER_SECONDS.
    """
    try:
        memory: dict[str, Any] = watching_client().info("memory")
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    most = int(memory.get("maxmemory", 0))
    return int(memory["used_memory"]) / most if most else None


def is_epoch_new() -> bool:
    """Return whether the broker has lost all its keys since the last call of any process, and mark it as seen.

    Raise BrokerUnavailableError.
    """
    try:
        is_new = bool(client().set(EPOCH_KEY, uuid4().hex, nx=True))
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    breaker().note_success()
    return is_new
