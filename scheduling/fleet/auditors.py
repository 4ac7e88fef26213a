"""Check whether an auditor is alive, by its heartbeat and by the age of the oldest entry that waits for it."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, Max
from django.db.models.functions import Now
from django.utils.translation import gettext

from scheduling.models import ProcessHeartbeat
from tenants.audit.chain_queries import read_seal_backlog

# Many times the interval of heartbeats and the delay of a seal.
ABSENT_AFTER_SECONDS = 30.0


def find_auditor_fault() -> str:
    """Return a sentence on what is wrong with the auditor, or an empty text."""
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
    # The application could forge a heartbeat, but cannot empty the queue of entries.
    oldest = read_seal_backlog().oldest_seconds
    if oldest > ABSENT_AFTER_SECONDS:
        return gettext("an audit entry has waited for its link in the hash chain for %(seconds)s s") % {
            "seconds": f"{oldest:.0f}"
        }
    return ""
