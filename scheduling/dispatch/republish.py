"""Publishing again of messages whose executions no worker has started: a message may be lost, a job is not."""

from __future__ import annotations

from uuid import uuid4

from psycopg.rows import class_row

from scheduling import signals
from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.conf import TICK_JOBS
from scheduling.dispatch.broker_faults import record_refused_republish
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

_RENEW = load_sql(__file__)["renew_unstarted"]


def republish_unstarted(*, is_epoch_new: bool = False) -> int:
    """Publish messages again that no worker started within REPUBLISH_AFTER_SECONDS; return how many were due.

    With ``is_epoch_new``, the broker restarted empty: the messages of all unstarted executions are due at once.
    """
    age = 0.0 if is_epoch_new else platform_settings.REPUBLISH_AFTER_SECONDS
    with all_tenants():
        hints = fetch_all(
            _RENEW, {"age": age, "limit": TICK_JOBS, "tokens": [uuid4() for _ in range(TICK_JOBS)]}, class_row(Hint)
        )
    if not hints:
        return 0
    # Refused messages exceed the age again later, and are retried then.
    unsent = publishing.publish(hints)
    if unsent:
        record_refused_republish({hint.queue_name for hint in unsent})
    signals.messages_republished.send(None, count=len(hints) - len(unsent))
    return len(hints)
