"""Publish anew what no worker began: the hint may be lost, the job is not."""

from __future__ import annotations

from uuid import uuid4

from scheduling import broker, signals
from scheduling.broker import Hint
from scheduling.conf import TICK_JOBS, republish_after_seconds
from scheduling.services.dispatching.absence import note_refused_again
from tenants.context import all_tenants
from tenants.prepared import prepared_cursor

# A new token makes the old message, should it turn up after all, a no-op. What travelled together goes out together.
_RENEW = """
WITH late AS (
    SELECT message_id FROM scheduling_execution_live
    WHERE started_at IS NULL AND published_at <= now() - make_interval(secs => %(age)s)
    GROUP BY 1 ORDER BY min(published_at) LIMIT %(limit)s
), chosen AS (
    SELECT l.id, l.message_id FROM scheduling_execution_live l JOIN late USING (message_id)
    WHERE l.started_at IS NULL ORDER BY l.id FOR NO KEY UPDATE OF l SKIP LOCKED
), renewed AS (
    UPDATE scheduling_execution_live l SET token = (%(tokens)s::uuid[])[c.position], published_at = now()
    FROM (SELECT id, dense_rank() OVER (ORDER BY message_id) AS position FROM chosen) c
    WHERE l.id = c.id
    RETURNING l.id, l.queue_id, l.message_id, l.token
)
SELECT q.name, array_agg(r.id ORDER BY r.id), r.token
FROM renewed r JOIN scheduling_queue q ON q.id = r.queue_id
GROUP BY q.name, r.message_id, r.token ORDER BY min(r.id::text)
"""


def republish_unstarted(*, is_epoch_new: bool = False) -> int:
    """Publish messages again that no worker took up within REPUBLISH_AFTER_SECONDS; how many.

    With ``is_epoch_new`` the broker came up empty: every unstarted execution at once.
    """
    age = 0.0 if is_epoch_new else republish_after_seconds()
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(
            _RENEW,
            {"age": age, "limit": TICK_JOBS, "tokens": [uuid4() for _ in range(TICK_JOBS)]},
        )
        hints = [Hint(*row) for row in cursor.fetchall()]
    if not hints:
        return 0
    # What is not taken now is older than the age again after another round.
    unsent = broker.publish(hints)
    if unsent:
        note_refused_again({hint.queue_name for hint in unsent})
    signals.messages_republished.send(None, count=len(hints) - len(unsent))
    return len(hints)
