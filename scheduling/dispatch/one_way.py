"""Commands that Redis carries out and does not answer: for what is told with each job, and may be lost.

To wait for the answer, and to have the driver choose a connection for it, takes several times as long as to send them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
from redis.connection import SSLConnection

type Command = tuple[str | bytes | int, ...]

# So long after an answer the next commands go without one: a server that takes none is noticed.
HEARD_SECONDS = 1.0
# So long a server is asked that cannot be told; and as old a connection grows: names may lead elsewhere by then.
RENEWED_SECONDS = 60.0
LOCK_SECONDS = 0.05


class OneWay:
    """A connection of this process without answers, which all its threads share; opened when it is needed.

    A server that answers all the same is asked to; so is one behind an encrypted connection, of which nobody sees from
    outside whether there is an answer on it, and one to which no connection is had as quickly as ``client`` wants it.
    """

    def __init__(self, client: Callable[[], redis.Redis]) -> None:
        self._client = client
        self._heard_until = 0.0
        self._asked_until = 0.0
        self._renew()
        # The socket is the other process's, and its lock may be held by a thread that is not here.
        os.register_at_fork(after_in_child=self._renew)

    def tell(self, *commands: Command, ask: Callable[[], redis.Redis]) -> bool:
        """Have the commands carried out; once a second their answers are waited for, by the client of ``ask``.

        Return whether they were answered.
        Raises what the driver raises where it learns that the server does not take them.
        """
        now = time.monotonic()
        if self._asked_until <= now < self._heard_until and self._send(commands, now):
            return False
        try:
            with ask().pipeline(transaction=False) as pipe:
                asking: Any = pipe
                for command in commands:
                    asking.execute_command(*command)
                asking.execute()
        except BaseException:
            self._heard_until = self._opened_at = 0.0
            raise
        self._heard_until = time.monotonic() + HEARD_SECONDS
        return True

    def _renew(self) -> None:
        self._guard = threading.Lock()
        # Untyped in the driver.
        self._connection: Any = None
        self._opened_at = 0.0

    def _send(self, commands: tuple[Command, ...], now: float) -> bool:
        """Whether they are on their way."""
        text = b"".join(map(_packed, commands))
        if not self._guard.acquire(timeout=LOCK_SECONDS):
            return False
        try:
            if not self._is_silent(now):
                self._close()
                self._open(now)
            self._connection.send_packed_command([text], check_health=False)
        except (redis.RedisError, OSError):
            # Whoever is asked next says what it is.
            self._close()
            self._asked_until = now + RENEWED_SECONDS
            return False
        finally:
            self._guard.release()
        return True

    def _is_silent(self, now: float) -> bool:
        """Whether there is a connection, young enough, and nothing to read on it."""
        if self._connection is None or now - self._opened_at > RENEWED_SECONDS:
            return False
        try:
            if self._connection.can_read():
                raise redis.ResponseError("the server answers, though it was told not to")
        except redis.ConnectionError:
            # It has hung up.
            return False
        return True

    def _open(self, now: float) -> None:
        pool = self._client().connection_pool
        if issubclass(pool.connection_class, SSLConnection):
            raise redis.ConnectionError("an encrypted connection does not show whether it is silent")
        # Not the pool's own, of which there are only so many.
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._opened_at = now
        self._connection.connect()
        self._connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


@lru_cache(maxsize=1_000)
def _packed(command: Command) -> bytes:
    """As the protocol of Redis has it: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])
