"""Commands that Redis carries out and does not answer: for what is told with each job, and may be lost.

To wait for the answer, and to have the driver choose a connection for it, takes ten times as long as to send them.
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


class OneWay:
    """A connection of this process without answers, which all its threads share; opened when it is needed.

    A server that answers all the same is asked to; so is one behind an encrypted connection, of which nobody sees from
    outside whether there is an answer on it.
    """

    def __init__(self, client: Callable[[], redis.Redis]) -> None:
        self._client = client
        self._heard_until = 0.0
        self._is_refused = False
        self._renew()
        # The socket is the other process's, and its lock may be held by a thread that is not here.
        os.register_at_fork(after_in_child=self._renew)

    def tell(self, *commands: Command, ask: Callable[[], redis.Redis] | None = None) -> None:
        """Have the commands carried out; once a second their answers are waited for, by the client of ``ask``.

        Raises what the driver raises where it learns that the server does not take them.
        """
        if not self._is_refused and time.monotonic() < self._heard_until and self._send(commands):
            return
        with (ask or self._client)().pipeline(transaction=False) as pipe:
            asking: Any = pipe
            for command in commands:
                asking.execute_command(*command)
            asking.execute()
        self._heard_until = time.monotonic() + HEARD_SECONDS

    def _renew(self) -> None:
        self._guard = threading.Lock()
        # Untyped in the driver.
        self._connection: Any = None

    def _send(self, commands: tuple[Command, ...]) -> bool:
        text = b"".join(map(_packed, commands))
        with self._guard:
            if self._is_silent() or self._open():
                self._connection.send_packed_command([text], check_health=False)
        return not self._is_refused

    def _is_silent(self) -> bool:
        """Whether there is a connection, and nothing to read on it."""
        if self._connection is None:
            return False
        try:
            self._is_refused = self._connection.can_read()
        except redis.ConnectionError:
            # The server has hung up.
            self._connection.disconnect()
            self._connection = None
        return self._connection is not None and not self._is_refused

    def _open(self) -> bool:
        if self._is_refused:
            return False
        connection: Any = self._client().connection_pool.make_connection()
        self._is_refused = isinstance(connection, SSLConnection)
        if not self._is_refused:
            connection.connect()
            connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)
            self._connection = connection
        return not self._is_refused


@lru_cache(maxsize=1_000)
def _packed(command: Command) -> bytes:
    """As the protocol of Redis has it: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])
