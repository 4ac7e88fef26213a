"""Publish anew what no worker began: the hint may be lost, the job is not."""

from __future__ import annotations

from uuid import uuid4

from django.db import connection

from scheduling import broker, signals
from scheduling.broker import Hint
from scheduling.conf import TICK_JOBS, republish_after_seconds
from tenants.context import all_tenants

# A new token makes the old message, should it turn up after all, a no-op.
_RENEW = """
WITH chosen AS (
    SELECT l.id FROM scheduling_execution_live l
    WHERE l.started_at IS NULL AND l.published_at <= now() - make_interval(secs => %(age)s)
    ORDER BY l.published_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE scheduling_execution_live l SET token = (%(tokens)s::uuid[])[n.position], published_at = now()
FROM (SELECT id, row_number() OVER () AS position FROM chosen) n, scheduling_queue q
WHERE l.id = n.id AND q.id = l.queue_id
RETURNING q.name, l.id, l.token
"""


def republish_unstarted(*, is_epoch_new: bool = False) -> int:
    """Publish hints again that no worker took up within REPUBLISH_AFTER_SECONDS; how many.

    With ``is_epoch_new`` the broker came up empty: every unstarted execution at once.
    """
    age = 0.0 if is_epoch_new else republish_after_seconds()
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            _RENEW,
            {"age": age, "limit": TICK_JOBS, "tokens": [uuid4() for _ in range(TICK_JOBS)]},
        )
        hints = [Hint(*row) for row in cursor.fetchall()]
    if not hints:
        return 0
    # What is not taken now is older than the age again after another round.
    unsent = broker.publish(hints)
    signals.messages_republished.send(None, count=len(hints) - len(unsent))
    return len(hints)
