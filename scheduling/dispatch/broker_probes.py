"""Probes of the broker: whether it answers, whether it drops messages, and whether it restarted empty."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from scheduling.dispatch.broker import BROKER_ERRORS, breaker, client
from scheduling.exceptions import BrokerUnavailableError

# It disappears when the broker restarts empty; its absence means that every message is lost.
EPOCH_KEY = "jobsplatform:broker:epoch"


def probe() -> None:
    """Raise BrokerUnavailableError unless the broker answers now."""
    try:
        client().ping()
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    breaker().note_success()


def read_eviction_policy() -> str:
    """Return the name of the policy by which the broker evicts keys when its memory is full.

    Raise BrokerUnavailableError.
    """
    try:
        memory: dict[str, Any] = client().info("memory")
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    return str(memory.get("maxmemory_policy", "unknown"))


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
