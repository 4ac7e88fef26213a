"""Whether an auditor works, by its heartbeat and by what waits for a seal."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, Max
from django.db.models.functions import Now
from django.utils.translation import gettext

from scheduling.models import ProcessHeartbeat
from tenants.audit.chain_queries import read_seal_backlog

# Many heartbeats, and many times as long as an entry waits for its seal.
ABSENT_AFTER_SECONDS = 30.0


def read_audit_lapse() -> str:
    """Return what is wrong with the auditor, or an empty text."""
    latest = ProcessHeartbeat.objects.filter(role=ProcessHeartbeat.Role.AUDITOR).aggregate(
        age=ExpressionWrapper(Now() - Max("heartbeat_at"), output_field=DurationField())
    )
    age: timedelta | None = latest["age"]
    if age is None:
        return gettext("no auditor has run yet")
    if age.total_seconds() > ABSENT_AFTER_SECONDS:
        return gettext("the last heartbeat of an auditor was %(seconds)s s ago") % {
            "seconds": f"{age.total_seconds():.0f}"
        }
    # The application could forge a heartbeat, and cannot empty the queue.
    oldest = read_seal_backlog().oldest_seconds
    if oldest > ABSENT_AFTER_SECONDS:
        return gettext("an audit entry has waited for its seal for %(seconds)s s") % {"seconds": f"{oldest:.0f}"}
    return ""
