"""Redis commands sent without waiting for an answer (`CLIENT REPLY OFF`), for wake-ups, which may be lost.

A wake-up is sent with each job. Waiting for the answer, and choosing a connection in the driver, would take several
times as long as sending.
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

# Commands need no answer for this long after the last one, so that a dead server is noticed.
HEARD_SECONDS = 1.0
# Commands are sent with answers for this long after a failure; a connection is replaced at this age, because names may
# resolve differently by then.
RENEWED_SECONDS = 60.0
LOCK_SECONDS = 0.05


class FireAndForgetRedis:
    """A Redis connection on which the server does not answer, shared by all threads and opened on first use.

    Commands are sent with answers instead if the server answers despite REPLY OFF, if the connection is encrypted,
    since pending answers are then not visible, or if ``client`` cannot connect in time.
    """

    def __init__(self, client: Callable[[], redis.Redis]) -> None:
        self._client = client
        self._heard_until = 0.0
        self._asked_until = 0.0
        self._renew()
        # In a fork the socket belongs to the parent, and the lock may be held by a thread that does not exist here.
        os.register_at_fork(after_in_child=self._renew)

    def send_commands(self, *commands: Command, fallback: Callable[[], redis.Redis]) -> bool:
        """Send the commands; about once a second send them through the client of ``fallback`` and wait for the answers.

        Return whether the server answered. Raise the driver's error if such an answer shows that the commands fail.
        """
        now = time.monotonic()
        if self._asked_until <= now < self._heard_until and self._send(commands, now):
            return False
        try:
            with fallback().pipeline(transaction=False) as pipe:
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
        """Return whether the commands were sent."""
        text = b"".join(map(_packed, commands))
        if not self._guard.acquire(timeout=LOCK_SECONDS):
            return False
        try:
            if not self._is_silent(now):
                self._close()
                self._open(now)
            self._connection.send_packed_command([text], check_health=False)
        except (redis.RedisError, OSError):
            # The next answered command reports the cause.
            self._close()
            self._asked_until = now + RENEWED_SECONDS
            return False
        finally:
            self._guard.release()
        return True

    def _is_silent(self, now: float) -> bool:
        """Return whether there is a connection that is young enough and has nothing to read."""
        if self._connection is None or now - self._opened_at > RENEWED_SECONDS:
            return False
        try:
            if self._connection.can_read():
                raise redis.ResponseError("the server answers despite CLIENT REPLY OFF")
        except redis.ConnectionError:
            # The server closed it.
            return False
        return True

    def _open(self, now: float) -> None:
        pool = self._client().connection_pool
        if issubclass(pool.connection_class, SSLConnection):
            raise redis.ConnectionError("pending answers are not visible on an encrypted connection")
        # The pool's own connections are limited.
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
    """Return the command in Redis's wire format: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])
