"""Kit types for adapters of the outbox: they deliver messages that jobs have emitted to other systems.

A package offers an adapter by an entry point of the group ``jobsplatform.outbox_adapters``, whose value is the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A message to deliver. ``id`` is the same at each attempt: receivers recognise a repeat by it."""

    id: UUID
    tenant_id: UUID
    topic: str
    key: str
    message: Mapping[str, Any]
    emitted_at: datetime


class OutboxDestination(ABC):
    """An opened target; its messages are sent from several threads at once."""

    @property
    @abstractmethod
    def dependency(self) -> str:
        """Return the name of the external system, whose breaker opens when it fails; a host, for instance."""

    @abstractmethod
    def send(self, item: OutboxItem) -> None:
        """Deliver a message, without use of the database; return when the receiver has accepted it.

        Raise TransientError for an attempt that is to be repeated, and PermanentError for a message that will never be
        accepted.
        """


class OutboxAdapter(ABC):
    """A way to deliver messages; ``name`` is what routes choose it by."""

    name: ClassVar[str]

    @abstractmethod
    def check(self, *, tenant_id: UUID, target: str) -> None:
        """Raise ValueError, with a sentence for the user, for a target that a route must not have."""

    @abstractmethod
    def open(self, *, tenant_id: UUID, target: str) -> OutboxDestination:
        """Return the destination of a target; it may read the database.

        Raise PermanentError if the target does not exist any more.
        """
