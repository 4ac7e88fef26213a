"""Pure rules of the outbox: which routes a topic takes, when an attempt is repeated, what may be sent at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

# Minutes at first, hours at last: a day and a half in all, as for webhooks.
DELAYS_SECONDS: Final = (10.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 21_600.0, 86_400.0)
MAX_ATTEMPTS: Final = len(DELAYS_SECONDS) + 1
LONGEST_DELAY_SECONDS: Final = 86_400.0
TOPIC_PATTERN: Final = re.compile(r"(?:[a-z][a-z0-9_.]{0,63}|(?:[a-z][a-z0-9_.]{0,61}\.)?\*)", re.ASCII)


class Keyed(Protocol):
    """A message with a key; messages without one have no order."""

    key: str


def matches_topic(pattern: str, topic: str) -> bool:
    """Return whether a route's pattern matches a topic: equal, or the pattern ends in `*` and the topic begins so."""
    return topic.startswith(pattern[:-1]) if pattern.endswith("*") else topic == pattern


def delay_seconds(attempt: int, retry_after_seconds: float | None) -> float | None:
    """Return the seconds until the next attempt after ``attempt`` have failed, or None if there is none."""
    if attempt >= MAX_ATTEMPTS:
        return None
    return min(max(DELAYS_SECONDS[attempt - 1], retry_after_seconds or 0.0), LONGEST_DELAY_SECONDS)


def lanes_of[KeyedT: Keyed](messages: Iterable[KeyedT]) -> Sequence[Sequence[KeyedT]]:
    """Return messages by key, in their order; each message without a key is alone."""
    lanes: list[list[KeyedT]] = []
    of_key: dict[str, list[KeyedT]] = {}
    for message in messages:
        if message.key and message.key in of_key:
            of_key[message.key].append(message)
        else:
            lanes.append([message])
            of_key[message.key] = lanes[-1]
    return lanes
