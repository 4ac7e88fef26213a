"""Messages that a running job has emitted and that are not stored yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from scheduling.kit.emitting import Emitted, read_emitted
from scheduling.kit.outcomes import Json
from scheduling.kit.runtime import Effects
from scheduling.outbox.service import store_messages


class OutboxBuffer:
    """Emitted messages of one execution, stored by the transaction that stores its next checkpoint or its end."""

    def __init__(self, job_id: UUID, tenant_id: UUID) -> None:
        self._job_id, self._tenant_id = job_id, tenant_id
        self._kept: list[Emitted] = []

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, topic: str, message: Json, key: str) -> None:
        """Keep a message; raise PermanentError if it is refused."""
        self._kept.append(read_emitted(topic, message, key, self._kept))

    def storing(self, effects: Sequence[Effects]) -> Callable[[], None]:
        """Return a function that runs effects and then stores the messages, in the caller's transaction.

        It may be called again after a rollback: messages that the effects have emitted before are dropped.
        """
        count = len(self._kept)

        def run() -> None:
            del self._kept[count:]
            try:
                for each in effects:
                    each()
            except BaseException:
                del self._kept[count:]
                raise
            if self._kept:
                store_messages(job_id=self._job_id, tenant_id=self._tenant_id, emitted=self._kept)

        return run

    def clear(self) -> None:
        """Forget the messages, which are stored."""
        self._kept.clear()
