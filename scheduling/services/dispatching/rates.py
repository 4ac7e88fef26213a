"""The rates of queues: so many jobs handed out a minute at most, by the generic cell rate algorithm.

The theoretical arrival time stands in the queue's clock and time is the database's, so whichever dispatcher ticks
goes on where the last one stopped. A queue without tokens has no room in this tick; its siblings do not notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scheduling.fairness.gcra import Rate, take
from scheduling.services.dispatching.claim import Claim
from scheduling.services.dispatching.read import PoolReading
from tenants.prepared import prepared_cursor

_RATED = """
SELECT q.id, q.dispatches_per_minute, q.dispatch_burst, c.arrival_us, (extract(epoch FROM now()) * 1000000)::bigint
FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id
WHERE q.id = ANY(%s)
"""
_SPEND = """
UPDATE scheduling_queue_clock c SET arrival_us = u.arrival_us
FROM unnest(%s::bigint[], %s::bigint[]) AS u(queue_id, arrival_us) WHERE c.queue_id = u.queue_id
"""
_GIVE_BACK = """
UPDATE scheduling_queue_clock c SET arrival_us = c.arrival_us - ceil(60000000.0 / q.dispatches_per_minute)::bigint
FROM scheduling_queue q WHERE q.name = %s AND c.queue_id = q.id AND q.dispatches_per_minute > 0
"""


@dataclass(frozen=True, slots=True)
class QueueRate:
    """A queue's rate, and where it stands at the moment of the tick."""

    rate: Rate
    arrival_us: int
    now_us: int


def limit_rates(reading: PoolReading) -> tuple[PoolReading, Mapping[int, QueueRate]]:
    """Lower the room of queues to the tokens that their rates grant now; the rates that there are, by queue."""
    if not reading.rated:
        return reading, {}
    with prepared_cursor() as cursor:
        cursor.execute(_RATED, [list(reading.rated)])
        rates = {
            queue_id: QueueRate(Rate.of_queue(per_minute, burst), arrival_us, now_us)
            for queue_id, per_minute, burst, arrival_us, now_us in cursor.fetchall()
        }
    queues = [
        replace(queue, room=tokens(rates[queue.queue_id], queue.room)) if queue.queue_id in rates else queue
        for queue in reading.share.queues
    ]
    return replace(reading, share=replace(reading.share, queues=queues)), rates


def spend_rates(rates: Mapping[int, QueueRate], claims: Sequence[Claim]) -> None:
    """Move the arrival times on by what was claimed, in the transaction that claimed it."""
    claimed = Counter(claim.pick.queue_id for claim in claims if claim.pick.queue_id in rates)
    if not claimed:
        return
    arrivals = [
        now.now_us + take(now.arrival_us, now.now_us, now.rate, claimed[queue_id]).backlog_us
        for queue_id, now in rates.items()
        if queue_id in claimed
    ]
    with prepared_cursor() as cursor:
        cursor.execute(_SPEND, [[queue_id for queue_id in rates if queue_id in claimed], arrivals])


def give_back_token(*, queue: str) -> None:
    """A job that was handed out goes back without having begun: at the rate of its queue, if that has one, it counts
    no more. Within a scope of all tenants.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_GIVE_BACK, [queue])


def tokens(queue: QueueRate, wanted: int) -> int:
    """How many of ``wanted`` jobs may be handed out now."""
    return take(queue.arrival_us, queue.now_us, queue.rate, wanted).granted
