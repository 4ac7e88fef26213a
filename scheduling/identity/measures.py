"""Measure of log-ins with accounts for emergencies that alert rules compare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from tenants.access.session_audit import BREAK_GLASS
from tenants.models import AuditLogEntry

# For so long a log-in fires the alert.
WINDOW = timedelta(minutes=15)


def _read(now: datetime) -> Iterator[Sample]:
    recent = list(AuditLogEntry.objects.filter(action=BREAK_GLASS).order_by("-id")[:100])
    counted = [entry for entry in recent if entry.at > now - WINDOW]
    if counted:
        words = gettext("%(account)s logged in at %(at)s UTC from %(address)s.")
        values = {
            "account": counted[0].actor_label,
            "at": f"{counted[0].at:%F %H:%M}",
            "address": (counted[0].after or {}).get("address", ""),
        }
        facts = {"message": words % values}
        yield Sample("check:break_glass", float(len(counted)), gettext("Account for emergencies"), facts=facts)


MEASURES = (
    Measure(
        "break_glass", _("Log-ins with accounts for emergencies in 15 minutes"), "", (Per.CHECK,), _read, seconds=10.0
    ),
)  # fmt: skip
