"""Check that the platform's keys in the broker have the expected Redis types; others are deleted.

Redis is not trusted to hold what was written: every command on a key of another type would fail for ever. The broker
holds only messages that can be published again, so the key is deleted, and the dispatchers publish every message again
as if the broker had restarted empty.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from kombu.transport.redis import Channel

from scheduling.conf import UPKEEP_QUEUE
from scheduling.dispatch import broker, broker_probes
from scheduling.exceptions import BrokerUnavailableError

logger = logging.getLogger(__name__)

_OF_KOMBU = {
    Channel.unacked_key: "hash",
    Channel.unacked_index_key: "zset",
    Channel.unacked_mutex_key: "string",
    Channel.keyprefix_binding_deadlines: "zset",
}
# Deleting the epoch key too marks all messages as lost. Check and deletion are one step, so that no new key is deleted.
_REMOVE = """
local removed = {}
for place = 2, #KEYS do
    local kind = redis.call('TYPE', KEYS[place]).ok
    if kind ~= 'none' and kind ~= ARGV[place - 1] then
        redis.call('DEL', KEYS[place])
        removed[#removed + 1] = KEYS[place]
    end
end
if #removed > 0 then redis.call('DEL', KEYS[1]) end
return removed
"""


def expected_types(queue_names: Iterable[str]) -> Mapping[str, str]:
    """Return the Redis type that each key must have, for keys of the platform, of Celery and of these queues."""
    expected = _OF_KOMBU | {
        broker.WAKE_KEY: "list",
        broker.NEWS_KEY: "set",
        broker.FILLED_KEY: "set",
        broker.ENDED_KEY: "set",
        broker.ENDING_KEY: "list",
        broker_probes.EPOCH_KEY: "string",
    }
    for name in {UPKEEP_QUEUE, *queue_names}:
        expected |= {_of_priority(name, step): "list" for step in Channel.priority_steps}
        expected |= {Channel.keyprefix_queue % name: "set", Channel.keyprefix_binding_permanent % name: "set"}
    return expected


def _of_priority(name: str, step: int) -> str:
    return f"{name}{Channel.sep}{step}" if step else name


def remove_wrong_types(queue_names: Iterable[str]) -> int:
    """Delete keys whose type is wrong, in one round trip; return how many.

    Raise BrokerUnavailableError.
    """
    expected = expected_types(queue_names)
    try:
        removed: list[Any] = broker.evaluate(_REMOVE, [broker_probes.EPOCH_KEY, *expected], list(expected.values()))
    except broker.BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
    if removed:
        names = sorted(name.decode(errors="replace") for name in removed)
        logger.warning("broker.wrong_types_removed", extra={"count": len(names), "keys": names[:10]})
    return len(removed)
