"""Duties of the dispatchers' sending thread: messages that no job has claimed, and the heartbeat to the outside.

A message's job needs the broker and a free slot of a worker, which are what alerts may be about. This thread is the
slot that no tenant can use.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from scheduling.alerts.delivery import claim, claimable, settle, transmit
from scheduling.alerts.outage import OutageWatch
from scheduling.dispatch.duties import Duty, alert_evaluator
from scheduling.kit.base import PermanentError, TransientError
from scheduling.kit.http import Limits, send
from scheduling.log_search.segments import LogIndexer
from scheduling.models import Alert, AlertClock, AlertMessage
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

SENDER_SECONDS = 2.0
# The time that a message's job has to claim it; none while jobs cannot start.
GRACE_SECONDS = 4
# Messages of one turn, sent concurrently: a turn ends within the claims' time.
TURN_MESSAGES = 4
HEARTBEAT_LIMITS = Limits(connect_seconds=5.0, read_seconds=5.0, total_seconds=10.0, body_bytes=1_024, redirects=2)
STALE_SECONDS, OVERDUE_SECONDS = 60, 120
JOBS_CANNOT_START = Q(rule__measure__in=["broker_away", "pool_without_worker"])


def send_overdue() -> int:
    """Send messages that no job has claimed in time; return how many this process has sent or tried."""
    with all_tenants():
        is_stuck = Alert.objects.exclude(state=Alert.State.RESOLVED).filter(JOBS_CANNOT_START).exists()
        grace = 0 if is_stuck else GRACE_SECONDS
        overdue = AlertMessage.objects.filter(claimable(grace)).order_by("due_at").values_list("pk", flat=True)
        ids = list(overdue[:TURN_MESSAGES])
    sendings = [sending for each in ids if (sending := claim(each, overdue_seconds=grace))]
    if sendings:
        with ThreadPoolExecutor(TURN_MESSAGES, "alert message") as pool:
            for sending, result in zip(sendings, pool.map(transmit, sendings), strict=True):
                settle(sending, result)
    return len(sendings)


def beat() -> bool:
    """Call the heartbeat URL if alerts work and it is time; return whether it was called.

    The service behind the URL detects that the calls stop: no dispatcher lives, none evaluates, or messages are stuck.
    """
    url = platform_settings.ALERT_HEARTBEAT_URL
    if not url:
        return False
    with all_tenants():
        interval = timedelta(seconds=platform_settings.ALERT_HEARTBEAT_SECONDS)
        is_evaluated = Q(evaluated_at__gt=Now() - timedelta(seconds=STALE_SECONDS))
        is_due = Q(beaten_at=None) | Q(beaten_at__lte=Now() - interval)
        if AlertMessage.objects.filter(claimable(OVERDUE_SECONDS)).exists():
            return False
        # One dispatcher's change matches.
        if not AlertClock.objects.filter(is_evaluated, is_due).update(beaten_at=Now()):
            return False
    try:
        status = send("GET", url, limits=HEARTBEAT_LIMITS, is_url_by_operator=True).status
        if not 200 <= status < 300:
            logger.warning("alert_heartbeat.refused", extra={"status": status})
    except (PermanentError, TransientError) as error:
        logger.warning("alert_heartbeat.failed", extra={"cause": str(error)})
    return True


_outages = OutageWatch(alert_evaluator.id)
_indexer = LogIndexer()
# The first one uses no SQL: it runs although the others fail.
SENDING_DUTIES: tuple[Duty, ...] = (
    Duty("database_outage", lambda: SENDER_SECONDS, _outages.look),
    Duty("database_outage_end", lambda: 5.0, _outages.prepare),
    Duty("alert_sender", lambda: SENDER_SECONDS, send_overdue),
    Duty("alert_heartbeat", lambda: 5.0, beat),
    # A full segment takes its time, which no sweep waits for.
    Duty("log_segments", _indexer.interval_seconds, _indexer.take_turn),
)
