"""The dispatcher's wake-up channel in the broker; what it carries may be lost without losing work.

The module keeps one Redis client and uses the process's circuit breaker, so that an unreachable broker does not slow
down submissions. A wake-up of each job is fire-and-forget (`CLIENT REPLY OFF`): waiting for the answer, and choosing a
connection in the driver, takes several times as long as sending.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any
from uuid import UUID

import redis
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry

from scheduling import tracing
from tenants.cache.redis_guards import TIMEOUT_SECONDS, RedisBreaker, breaker_of
from tenants.database.platform_settings import platform_settings

WAKE_KEY = "jobsplatform:dispatch:wake"
# The subjects of wakes: queue names, or EVERYTHING. FILLED_KEY holds queues to which only jobs came, ENDED_KEY those of
# which only messages ended whose slots were announced to be free before.
NEWS_KEY = "jobsplatform:dispatch:news"
EVERYTHING = "*"
FILLED_KEY = "jobsplatform:dispatch:filled"
ENDED_KEY = "jobsplatform:dispatch:ended"
MOST_NEWS = 1_000
# Per pool: a wake that came during its tick, which must read once more.
LATE_WAKE_KEY = "jobsplatform:dispatch:late_wake:{}"
LATE_WAKE_KEPT_SECONDS = 10
# Tokens of messages whose work is done and whose settlement is in progress.
ENDING_KEY = "jobsplatform:dispatch:ending"
MOST_ENDINGS = 1_000
CONNECT_TIMEOUT_SECONDS = 0.5
SOCKET_TIMEOUT_SECONDS = 5.0

# Commands need no answer for this long after the last one, so that a dead server is noticed.
HEARD_SECONDS = 1.0
# Commands are sent with answers for this long after a failure; a connection is replaced at this age, because names may
# resolve differently by then.
RENEWED_SECONDS = 60.0
LOCK_SECONDS = 0.05

BROKER_ERRORS = (redis.RedisError, OperationalError, OSError)
type Command = tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class DispatchSignals:
    """What the dispatcher is notified of: queues with events, and queues to which only new jobs came (``filled``).

    ``ended``: queues of which only messages ended whose end was announced before.
    ``is_everything``: all queues may have events. ``endings`` are the tokens of messages whose work is done.
    """

    is_everything: bool = False
    queues: frozenset[str] = frozenset()
    filled: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    endings: tuple[UUID, ...] = ()


@cache
def impatient_client() -> redis.Redis:
    """Return a client with short timeouts, for calls that are not worth waiting for."""
    return redis.Redis.from_url(
        platform_settings.REDIS_URL,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@cache
def client() -> redis.Redis:
    """Return the process's client of the broker."""
    return redis.Redis.from_url(
        platform_settings.REDIS_URL,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
    )


def _ask[Answer](command: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Return the broker's answer, or ``otherwise`` while it is unreachable."""
    if breaker().is_open():
        return otherwise
    try:
        answer = command()
    except BROKER_ERRORS:
        breaker().note_failure()
        return otherwise
    breaker().note_success()
    return answer


def breaker() -> RedisBreaker:
    """Return the process's circuit breaker of the broker."""
    return breaker_of(platform_settings.REDIS_URL)


class FireAndForgetRedis:
    """A Redis connection on which the server does not answer, shared by all threads and opened on first use.

    Commands are sent with answers instead if the server answers despite REPLY OFF, if the connection is encrypted,
    since pending answers are then not visible, or if ``client`` cannot connect in time.
    """

    def __init__(self, client: Callable[[], redis.Redis]) -> None:
        self._client = client
        self.reset()
        # In a fork the socket belongs to the parent, and the lock may be held by a thread that does not exist here.
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Forget the connection and the server's answers; the next commands are sent with answers."""
        self._guard = threading.Lock()
        # Untyped in the driver.
        self._connection: Any = None
        self._opened_at = self._heard_until = self._asked_until = 0.0

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


notifier = FireAndForgetRedis(impatient_client)


def wake_dispatcher(queues: Iterable[str] = (), *, is_filled: bool = False, is_end_announced: bool = False) -> None:
    """Wake the dispatcher; do nothing while the broker is unreachable.

    Several wakes at once count as one. ``queues`` are those with events; without any, the dispatcher checks all queues.
    ``is_filled``: the only events are new jobs; ``is_end_announced``: the only ones are ends that were announced.
    """
    names = list(queues)
    key = FILLED_KEY if is_filled else ENDED_KEY if is_end_announced else NEWS_KEY
    # The dispatcher polls every DISPATCH_INTERVAL_SECONDS anyway.
    _tell(*_news(names, key if names else NEWS_KEY))


def wake_on_commit(queues: Iterable[str] = (), *, is_filled: bool = False, is_end_announced: bool = False) -> None:
    """Wake the dispatcher after this transaction commits; the arguments are those of `wake_dispatcher`."""
    wake = partial(wake_dispatcher, frozenset(queues), is_filled=is_filled, is_end_announced=is_end_announced)
    transaction.on_commit(wake)


def announce_ending(token: UUID, queue: str) -> None:
    """Notify the dispatcher that a message's work is done, so that it reuses the slot while the message is settled."""
    ending = [("RPUSH", ENDING_KEY, token.bytes), ("LTRIM", ENDING_KEY, -MOST_ENDINGS, -1)]
    _tell(*ending, *_news([queue], NEWS_KEY))


def _tell(*commands: Command) -> None:
    if breaker().is_open():
        return
    try:
        with tracing.call("dispatcher.wake"):
            is_answered = notifier.send_commands(*commands, fallback=impatient_client)
    except BROKER_ERRORS:
        breaker().note_failure()
    else:
        if is_answered:  # a sent command alone does not show that the server works
            breaker().note_success()


def _news(names: Sequence[str], key: str) -> list[Command]:
    """Return the commands of a wake; the names are stored first, so that the woken dispatcher finds them."""
    return [("SADD", key, *(names or [EVERYTHING])), ("LPUSH", WAKE_KEY, 1), ("LTRIM", WAKE_KEY, 0, 0)]


def drain_signals() -> DispatchSignals:
    """Return and remove the signals since the last call; ``is_everything`` is set if the broker does not answer."""
    if breaker().is_open():
        return DispatchSignals(is_everything=True)
    try:
        with client().pipeline(transaction=False) as pipe:
            # Names are stored before their wake, so deleting the wake first loses none.
            pipe.delete(WAKE_KEY)
            pipe.spop(NEWS_KEY, MOST_NEWS)
            pipe.spop(FILLED_KEY, MOST_NEWS)
            pipe.spop(ENDED_KEY, MOST_NEWS)
            pipe.lpop(ENDING_KEY, MOST_ENDINGS)
            _, found, filled, ended, endings = pipe.execute()
    except BROKER_ERRORS:
        # Removed news may be lost on the way.
        breaker().note_failure()
        return DispatchSignals(is_everything=True)
    tokens = tuple(UUID(bytes=token) for token in endings or () if len(token) == 16)
    names = _texts_of(found)
    return DispatchSignals(EVERYTHING in names, names - {EVERYTHING}, _texts_of(filled), _texts_of(ended), tokens)


def _texts_of(names: Iterable[bytes]) -> frozenset[str]:
    return frozenset(name.decode(errors="replace") for name in names)


def wait_for_wake(timeout_seconds: float) -> bool:
    """Block until a wake arrives or the time is over; return whether a wake arrived."""
    if not breaker().is_open():
        try:
            return client().blpop([WAKE_KEY], timeout=timeout_seconds) is not None
        except BROKER_ERRORS:
            breaker().note_failure()
    time.sleep(timeout_seconds)
    return False


def request_repeated_tick(pool_id: int) -> None:
    """Request that the process which is ticking the pool ticks it once more, because a wake came during the tick."""
    _ask(lambda: client().set(LATE_WAKE_KEY.format(pool_id), 1, ex=LATE_WAKE_KEPT_SECONDS), otherwise=None)


def pop_repeated_tick(pool_id: int) -> bool:
    """Return whether a repeated tick of the pool was requested, and clear the request; False without an answer."""
    return _ask(lambda: bool(client().delete(LATE_WAKE_KEY.format(pool_id))), otherwise=False)


def evaluate(script: str, keys: Sequence[str], arguments: Sequence[str]) -> Any:
    """Run a Lua script in the broker and return its result; raise one of BROKER_ERRORS."""
    return client().eval(script, len(keys), *keys, *arguments)
