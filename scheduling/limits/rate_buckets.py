"""Token buckets of submissions and requests, in Redis for all processes, or in this process while Redis is unavailable.

A take is one script, one round trip, with Redis's own clock. If Redis does not respond within 100 ms, it counts as
unavailable and is tried again after two seconds (`tenants.cache.redis_guards`). Meanwhile every process grants the
whole rate by itself: a process does not know how many others there are, and refusing all requests would be worse.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import batched
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduling import tracing
from scheduling.fairness import gcra
from scheduling.fairness.gcra import Grant, Rate
from tenants.cache.redis_guards import TIMEOUT_SECONDS, RedisBreaker, breaker_of
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

KEY_PREFIX = "jobsplatform:rate:"
# Full buckets are dropped above this number.
MAX_LOCAL_BUCKETS = 10_000

# The arithmetic of scheduling.fairness.gcra, in Lua; a test compares them. A negative number of wanted tokens returns
# them. Several buckets grant the same number; with ARGV[2] = 1 they grant all wanted tokens or none. A key of another
# type is a full bucket.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wanted, is_whole = tonumber(ARGV[1]), ARGV[2] == '1'
local intervals, horizons, backlogs, granted = {}, {}, {}, math.max(0, wanted)
for place, key in ipairs(KEYS) do
    local interval, burst = tonumber(ARGV[2 * place + 1]), tonumber(ARGV[2 * place + 2])
    local horizon = interval * burst
    local held = redis.pcall('GET', key)
    if type(held) == 'table' then held = redis.call('DEL', key) end
    local backlog = math.min(math.max(0, (tonumber(held) or 0) - now), horizon)
    granted = math.min(granted, math.floor((horizon - backlog) / interval))
    intervals[place], horizons[place], backlogs[place] = interval, horizon, backlog
end
if is_whole and granted < wanted then granted = 0 end
local answer = {granted}
for place, key in ipairs(KEYS) do
    local backlog = math.max(0, backlogs[place] + (wanted < 0 and wanted or granted) * intervals[place])
    if wanted ~= 0 then
        redis.call('SET', key, string.format('%.0f', now + backlog), 'PX', math.floor(backlog / 1000) + 1)
    end
    answer[2 * place] = string.format('%.0f', backlog)
    answer[2 * place + 1] = math.floor((horizons[place] - backlog) / intervals[place])
end
return answer
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Name of a token bucket, and its size and refill rate."""

    name: str
    rate: Rate


class LocalBuckets:
    """Token buckets in the memory of this process, with its monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tats_us: dict[str, int] = {}

    def take(self, buckets: Sequence[Bucket], wanted: int, *, is_whole: bool = False) -> list[Grant]:
        """Take tokens from all buckets, the same number from each, or put them back if ``wanted`` is negative.

        With ``is_whole``, take all wanted tokens or none.
        """
        now_us = time.monotonic_ns() // 1_000
        with self._lock:
            tats_us = [self._tats_us.get(bucket.name, 0) for bucket in buckets]
            standings = list(zip(tats_us, buckets, strict=True))
            if wanted < 0:
                grants = [gcra.give_back(tat_us, now_us, bucket.rate, -wanted) for tat_us, bucket in standings]
            else:
                granted = min(gcra.take(tat_us, now_us, bucket.rate, wanted).granted for tat_us, bucket in standings)
                granted = 0 if is_whole and granted < wanted else granted
                grants = [gcra.take(tat_us, now_us, bucket.rate, granted) for tat_us, bucket in standings]
            self._tats_us |= {
                bucket.name: now_us + grant.backlog_us for bucket, grant in zip(buckets, grants, strict=True)
            }
            if len(self._tats_us) > MAX_LOCAL_BUCKETS:
                self._tats_us = {name: tat for name, tat in self._tats_us.items() if tat > now_us}
        return grants


class _Outage:
    """Whether Redis is unavailable; the beginning and the end of an outage are logged."""

    def __init__(self) -> None:
        self._is_away = False

    @property
    def is_away(self) -> bool:
        return self._is_away

    def is_to_be_waited_out(self) -> bool:
        return _breaker().is_open()

    def note_failure(self, error: Exception) -> None:
        if not self._is_away:
            logger.warning("rate_buckets.redis_away", exc_info=error)
        self._is_away = True
        _breaker().note_failure()

    def note_success(self) -> None:
        if self._is_away:
            logger.info("rate_buckets.redis_back")
        self._is_away = False
        _breaker().note_success()


def _breaker() -> RedisBreaker:
    return breaker_of(platform_settings.REDIS_URL)


_local = LocalBuckets()
_outage = _Outage()


class _Script:
    """Redis script with its own connections.

    The driver's pool takes longer to provide a connection than Redis takes to respond.
    """

    def __init__(self, client: redis.Redis) -> None:
        pool = client.connection_pool
        # Untyped in the driver.
        self._open: Callable[[], Any] = partial(pool.connection_class, **pool.connection_kwargs)
        self._digest = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
        # Idle connections, the last used at the end: as many as there were concurrent calls.
        self._idle: deque[Any] = deque()
        self._pid = os.getpid()

    def __call__(self, keys: Sequence[str], *arguments: int) -> Sequence[Any]:
        """Run the script and return its response; raise the errors of the driver."""
        connection = self._take()
        try:
            try:
                answer = _ask_once(connection, "EVALSHA", self._digest, keys, arguments)
            except redis.exceptions.NoScriptError:
                answer = _ask_once(connection, "EVAL", SCRIPT, keys, arguments)
        except BaseException:
            # The late response must not be read by another caller.
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answer

    def _take(self) -> Any:
        if self._pid != os.getpid():
            # The sockets belong to the parent.
            self._idle, self._pid = deque(), os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._open()
        if not _is_quiet(connection):
            # The server closed it; sending reopens it.
            connection.disconnect()
        return connection


def _ask_once(
    connection: Any, command: str, script: str, keys: Sequence[str], arguments: Sequence[int]
) -> Sequence[Any]:
    connection.send_command(command, script, len(keys), *keys, *arguments)
    answer: Sequence[Any] = connection.read_response()
    return answer


def _is_quiet(connection: Any) -> bool:
    try:
        return not connection.can_read()
    except (redis.RedisError, OSError):
        return False


@cache
def _script() -> _Script:
    return _Script(
        redis.Redis.from_url(
            platform_settings.REDIS_URL,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), retries=0),
        )
    )


def take(tenant_id: UUID, rate: Rate, wanted: int) -> Grant:
    """Take up to ``wanted`` tokens from the bucket of the tenant's submissions; with 0, only read it."""
    return _ask([_of_submissions(tenant_id, rate)], wanted)[0]


def give_back(tenant_id: UUID, rate: Rate, tokens: int) -> None:
    """Put the tokens of jobs that were not stored back into the bucket."""
    if tokens > 0:
        _ask([_of_submissions(tenant_id, rate)], -tokens)


def read_bucket(tenant_id: UUID, rate: Rate) -> Grant:
    """Return the state of the bucket of the tenant's submissions."""
    return _ask([_of_submissions(tenant_id, rate)], 0)[0]


def take_whole(buckets: Sequence[Bucket], wanted: int) -> list[Grant]:
    """Take ``wanted`` tokens from each bucket, or none from any, in one round trip; return a grant for each bucket."""
    return _ask(buckets, wanted, is_whole=True)


def adjust(buckets: Sequence[Bucket], tokens: int) -> None:
    """Take up to ``tokens`` from each bucket, the same number from each, or put them back if it is negative."""
    _ask(buckets, tokens)


def is_away() -> bool:
    """Return whether Redis did not respond to the last call, so that this process uses its own buckets."""
    return _outage.is_away or not _breaker().is_closed


def _of_submissions(tenant_id: UUID, rate: Rate) -> Bucket:
    return Bucket(f"submit:{tenant_id}", rate)


def _ask(buckets: Sequence[Bucket], wanted: int, *, is_whole: bool = False) -> list[Grant]:
    if not _outage.is_to_be_waited_out():
        keys = [f"{KEY_PREFIX}{bucket.name}" for bucket in buckets]
        rates = [number for bucket in buckets for number in (bucket.rate.interval_us, bucket.rate.burst)]
        try:
            with tracing.call("ratelimit.take", buckets=len(buckets), wanted=wanted):
                granted, *states = _script()(keys, wanted, int(is_whole), *rates)
        except (redis.RedisError, OSError) as error:
            _outage.note_failure(error)
        else:
            _outage.note_success()
            return [Grant(int(granted), int(backlog), remaining) for backlog, remaining in batched(states, 2)]
    return _local.take(buckets, wanted, is_whole=is_whole)
