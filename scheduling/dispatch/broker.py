"""The publisher of messages to workers, and the channel through which processes wake the dispatcher.

Everything sent here may be lost without losing work: PostgreSQL holds every job. The module keeps one Redis client and
uses the process's circuit breaker, so that an unreachable broker does not slow down submissions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import redis
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduling.celery.app import celery_app
from scheduling.conf import EXECUTE_TASK, RUN_UPKEEP_TASK, UPKEEP_QUEUE
from scheduling.dispatch.fire_and_forget import Command, FireAndForgetRedis
from scheduling.exceptions import BrokerUnavailableError
from tenants.cache.redis_guards import TIMEOUT_SECONDS, RedisBreaker, RefusalCount, breaker_of
from tenants.database.platform_settings import platform_settings

WAKE_KEY = "jobsplatform:dispatch:wake"
# The subjects of wakes: queue names, or EVERYTHING. FILLED_KEY holds queues to which only jobs came.
NEWS_KEY = "jobsplatform:dispatch:news"
EVERYTHING = "*"
FILLED_KEY = "jobsplatform:dispatch:filled"
MOST_NEWS = 1_000
# Per pool: a wake that came during its tick, which must read once more.
LATE_WAKE_KEY = "jobsplatform:dispatch:late_wake:{}"
LATE_WAKE_KEPT_SECONDS = 10
# Tokens of messages whose work is done and whose settlement is in progress.
ENDING_KEY = "jobsplatform:dispatch:ending"
MOST_ENDINGS = 1_000
# It disappears when the broker restarts empty; its absence means that every message is lost.
EPOCH_KEY = "jobsplatform:broker:epoch"
CONNECT_TIMEOUT_SECONDS = 0.5
SOCKET_TIMEOUT_SECONDS = 5.0

BROKER_ERRORS = (redis.RedisError, OperationalError, OSError)


@dataclass(frozen=True, slots=True)
class Hint:
    """The body of one Celery message: the executions to start, one after another.

    A worker starts an execution only if ``token`` is still its dispatch token.
    """

    queue_name: str
    execution_ids: Sequence[UUID]
    token: UUID


@dataclass(frozen=True, slots=True)
class DispatchSignals:
    """What the dispatcher is notified of: queues with events, and queues to which only new jobs came (``filled``).

    ``is_everything``: all queues may have events. ``endings`` are the tokens of messages whose work is done.
    """

    is_everything: bool = False
    queues: frozenset[str] = frozenset()
    filled: frozenset[str] = frozenset()
    endings: tuple[UUID, ...] = ()


@cache
def _impatient_client() -> redis.Redis:
    """Return a client with short timeouts, for calls that are not worth waiting for."""
    return redis.Redis.from_url(
        platform_settings.REDIS_URL,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        platform_settings.REDIS_URL,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
    )


def _ask[Answer](command: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Return the broker's answer, or ``otherwise`` while it is unreachable."""
    if _breaker().is_open():
        return otherwise
    try:
        answer = command()
    except BROKER_ERRORS:
        _breaker().note_failure()
        return otherwise
    _breaker().note_success()
    return answer


def _breaker() -> RedisBreaker:
    return breaker_of(platform_settings.REDIS_URL)


_notifier = FireAndForgetRedis(_impatient_client)
_refused_messages = RefusalCount("broker.publishing_failed")
# Of the last message that was refused.
MOST_FAULT_CHARACTERS = 200
_last_fault = ""


def fault_of_last_failure() -> str:
    """Return why the broker last refused a message of this process; an empty text if it never did."""
    return _last_fault


def _note_fault(error: Exception) -> None:
    global _last_fault  # noqa: PLW0603 - state of this process
    # PostgreSQL stores it, and text from Redis may hold any character.
    _last_fault = f"{type(error).__name__}: {error}"[:MOST_FAULT_CHARACTERS].replace("\0", " ")
    _refused_messages.note(_last_fault)


def publish(hints: Sequence[Hint]) -> Sequence[Hint]:
    """Publish the messages in order; return those that the broker did not accept, empty if all were sent."""
    sent = 0
    try:
        with celery_app().producer_or_acquire() as producer:
            try:
                for hint in hints:
                    celery_app().signature(EXECUTE_TASK).apply_async(
                        args=[[str(execution_id) for execution_id in hint.execution_ids], str(hint.token)],
                        queue=hint.queue_name,
                        producer=producer,
                        ignore_result=True,
                        retry=False,
                    )
                    sent += 1
            except BROKER_ERRORS:
                # The connection may be half-open: collect it, and the next publish reconnects. The pool stays: closed
                # it would refuse for ever, and emptied it would block.
                producer.connection.collect()
                raise
    except BROKER_ERRORS as error:
        _note_fault(error)
        return hints[sent:]
    return ()


def publish_upkeep(name: str, tenant_id: UUID | None = None) -> None:
    """Publish a message that runs an upkeep task, for the platform or one tenant, to the queue of the maintenance pool.

    Raise BrokerUnavailableError if the broker does not accept it.
    """
    arguments = [name] if tenant_id is None else [name, str(tenant_id)]
    try:
        celery_app().signature(RUN_UPKEEP_TASK).apply_async(
            args=arguments, queue=UPKEEP_QUEUE, ignore_result=True, retry=False
        )
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error


def wake_dispatcher(queues: Iterable[str] = (), *, is_filled: bool = False) -> None:
    """Wake the dispatcher; do nothing while the broker is unreachable.

    Several wakes at once count as one. ``queues`` are those with events; without any, the dispatcher checks all queues.
    ``is_filled``: the only events are new jobs.
    """
    names = list(queues)
    # The dispatcher polls every DISPATCH_INTERVAL_SECONDS anyway.
    _tell(*_news(names, FILLED_KEY if is_filled and names else NEWS_KEY))


def announce_ending(token: UUID, queue: str) -> None:
    """Notify the dispatcher that a message's work is done, so that it reuses the slot while the message is settled."""
    ending = [("RPUSH", ENDING_KEY, token.bytes), ("LTRIM", ENDING_KEY, -MOST_ENDINGS, -1)]
    _tell(*ending, *_news([queue], NEWS_KEY))


def _tell(*commands: Command) -> None:
    if _breaker().is_open():
        return
    try:
        is_answered = _notifier.send_commands(*commands, fallback=_impatient_client)
    except BROKER_ERRORS:
        _breaker().note_failure()
    else:
        # A sent command alone does not show that the server works.
        if is_answered:
            _breaker().note_success()


def _news(names: Sequence[str], key: str) -> list[Command]:
    """Return the commands of a wake; the names are stored first, so that the woken dispatcher finds them."""
    return [("SADD", key, *(names or [EVERYTHING])), ("LPUSH", WAKE_KEY, 1), ("LTRIM", WAKE_KEY, 0, 0)]


def drain_signals() -> DispatchSignals:
    """Return and remove the signals since the last call; ``is_everything`` is set if the broker does not answer."""
    if _breaker().is_open():
        return DispatchSignals(is_everything=True)
    try:
        with _client().pipeline(transaction=False) as pipe:
            # Names are stored before their wake, so deleting the wake first loses none.
            pipe.delete(WAKE_KEY)
            pipe.spop(NEWS_KEY, MOST_NEWS)
            pipe.spop(FILLED_KEY, MOST_NEWS)
            pipe.lpop(ENDING_KEY, MOST_ENDINGS)
            _, found, filled, endings = pipe.execute()
    except BROKER_ERRORS:
        # Removed news may be lost on the way.
        _breaker().note_failure()
        return DispatchSignals(is_everything=True)
    tokens = tuple(UUID(bytes=token) for token in endings or () if len(token) == 16)
    names = _texts_of(found)
    return DispatchSignals(EVERYTHING in names, names - {EVERYTHING}, _texts_of(filled), tokens)


def _texts_of(names: Iterable[bytes]) -> frozenset[str]:
    return frozenset(name.decode(errors="replace") for name in names)


def wait_for_wake(timeout_seconds: float) -> bool:
    """Block until a wake arrives or the time is over; return whether a wake arrived."""
    if not _breaker().is_open():
        try:
            return _client().blpop([WAKE_KEY], timeout=timeout_seconds) is not None
        except BROKER_ERRORS:
            _breaker().note_failure()
    time.sleep(timeout_seconds)
    return False


def request_repeated_tick(pool_id: int) -> None:
    """Request that the process which is ticking the pool ticks it once more, because a wake came during the tick."""
    _ask(lambda: _client().set(LATE_WAKE_KEY.format(pool_id), 1, ex=LATE_WAKE_KEPT_SECONDS), otherwise=None)


def pop_repeated_tick(pool_id: int) -> bool:
    """Return whether a repeated tick of the pool was requested, and clear the request; False without an answer."""
    return _ask(lambda: bool(_client().delete(LATE_WAKE_KEY.format(pool_id))), otherwise=False)


def probe() -> None:
    """Raise BrokerUnavailableError unless the broker answers now."""
    try:
        _client().ping()
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    _breaker().note_success()


def evaluate(script: str, keys: Sequence[str], arguments: Sequence[str]) -> Any:
    """Run a Lua script in the broker and return its result; raise one of BROKER_ERRORS."""
    return _client().eval(script, len(keys), *keys, *arguments)


def read_eviction_policy() -> str:
    """Return the name of the policy by which the broker evicts keys when its memory is full.

    Raise BrokerUnavailableError.
    """
    try:
        memory: dict[str, Any] = _client().info("memory")
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    return str(memory.get("maxmemory_policy", "unknown"))


def is_epoch_new() -> bool:
    """Return whether the broker has lost all its keys since the last call of any process, and mark it as seen.

    Raise BrokerUnavailableError.
    """
    try:
        is_new = bool(_client().set(EPOCH_KEY, uuid4().hex, nx=True))
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    _breaker().note_success()
    return is_new
