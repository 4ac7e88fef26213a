"""Probes of the broker: whether it answers, whether it drops messages, and whether it restarted empty."""

from __future__ import annotations

import time
from functools import cache
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduling.dispatch.broker import BROKER_ERRORS, breaker, client
from scheduling.exceptions import BrokerUnavailableError
from tenants.database.platform_settings import platform_settings

# It disappears when the broker restarts empty; its absence means that every message is lost.
EPOCH_KEY = "jobsplatform:broker:epoch"
# An outage of this length is reported for a while after its end, which may come between two looks.
OUTAGE_SECONDS, REPORTED_SECONDS = 3.5, 15.0
# A broker that needs longer for each of two answers is as good as absent.
ANSWER_SECONDS = OUTAGE_SECONDS / 2
_outage = (-REPORTED_SECONDS, "")


def probe() -> None:
    """Raise BrokerUnavailableError unless the broker answers now."""
    try:
        client().ping()
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    breaker().note_success()


def find_silence() -> str:
    """Return why the broker does not answer, or did not in a recent outage, or an empty text."""
    began = time.monotonic()
    try:
        watching_client().ping()
    except BROKER_ERRORS as error:
        fault = str(error) or type(error).__name__
        note_outage(began, fault)
        return fault
    seen_at, fault = _outage
    return fault if time.monotonic() - seen_at < REPORTED_SECONDS else ""


def note_outage(since: float, fault: str) -> None:
    """Record that this process has not reached the broker from a moment of the monotonic clock until now."""
    global _outage  # noqa: PLW0603 - the memory of this process
    if (now := time.monotonic()) - since >= OUTAGE_SECONDS:
        _outage = now, fault


@cache
def watching_client() -> redis.Redis:
    """Return a client that waits ANSWER_SECONDS for an answer, and asks twice."""
    url, seconds = platform_settings.REDIS_URL, ANSWER_SECONDS
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds, retry=retry)


def read_eviction_policy() -> str:
    """Return the name of the policy by which the broker evicts keys when its memory is full.

    Raise BrokerUnavailableError.
    """
    try:
        memory: dict[str, Any] = watching_client().info("memory")
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
