"""Written down for those who ask why a job waits: nothing is claimed because the broker is away."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scheduling import broker
from tenants.context import all_tenants
from tenants.prepared import prepared_cursor

# A pool that another dispatcher ticks is served: from there the broker is seen.
_NOTE = """
UPDATE scheduling_pool_clock SET broker_away_at = now()
WHERE pool_id = ANY(%s) AND (ticked_at IS NULL OR ticked_at < now() - interval '2 seconds')
"""
_NOTE_REFUSAL = """
UPDATE scheduling_pool_clock SET broker_away_at = now(), publish_failed_at = now(), publish_fault = %s
WHERE pool_id = %s
"""
_NOTE_REFUSED_QUEUES = """
UPDATE scheduling_pool_clock SET publish_failed_at = now(), publish_fault = %s
WHERE pool_id IN (SELECT pool_id FROM scheduling_queue WHERE name = ANY(%s))
"""


def note_broker_away(pool_ids: Sequence[int]) -> None:
    """This dispatcher cannot publish, so it does not tick these pools; to be said again while that is so."""
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_NOTE, [list(pool_ids)])


def note_refused_hints(pool_id: int) -> None:
    """A tick of this pool claimed and could not publish; it is not ticked until the broker answers."""
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_NOTE_REFUSAL, [broker.fault_of_last_failure(), pool_id])


def note_refused_again(queue_names: Collection[str]) -> None:
    """Note that messages of these queues were to be published again, and the broker took them not."""
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_NOTE_REFUSED_QUEUES, [broker.fault_of_last_failure(), list(queue_names)])
