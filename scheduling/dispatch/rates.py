"""The rates of queues: so many jobs handed out a minute at most, by the generic cell rate algorithm.

The theoretical arrival time stands in the queue's clock and time is the database's, so whichever dispatcher ticks
goes on where the last one stopped. A queue without tokens has no room in this tick; its siblings do not notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg.rows import namedtuple_row

from scheduling.dispatch.claim import Claim
from scheduling.dispatch.read import PoolReading
from scheduling.fairness.gcra import Rate, take
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_RATED = _SQL["read_rates"]
_SPEND = _SQL["spend_rates"]
_GIVE_BACK = _SQL["give_back_token"]


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
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_RATED, {"queue_ids": list(reading.rated)})
        rates = {
            row.queue_id: QueueRate(
                Rate.of_queue(row.dispatches_per_minute, row.dispatch_burst), row.arrival_us, row.now_us
            )
            for row in cursor.fetchall()
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
        queue_ids = [queue_id for queue_id in rates if queue_id in claimed]
        cursor.execute(_SPEND, {"queue_ids": queue_ids, "arrivals_us": arrivals})


def give_back_token(*, queue: str) -> None:
    """A job that was handed out goes back without having begun: at the rate of its queue, if that has one, it counts
    no more. Within a scope of all tenants.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_GIVE_BACK, {"queue": queue})


def tokens(queue: QueueRate, wanted: int) -> int:
    """How many of ``wanted`` jobs may be handed out now."""
    return take(queue.arrival_us, queue.now_us, queue.rate, wanted).granted
