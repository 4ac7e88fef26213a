"""Measure of compensations that alert rules compare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Max
from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from scheduling.compensation.models import Compensation
from tenants.encryption.fields import SealedValue


def _read(now: datetime) -> Iterator[Sample]:
    stuck = Compensation.objects.filter(state=Compensation.State.NEEDS_ATTENTION)
    found = stuck.values("tenant", "tenant__slug").annotate(total=Count("pk"), shown=Max("error")).order_by("tenant")
    for row in found:
        # Alerts are sent and stored in plain, so they do not have what is sealed.
        facts = {"message": "" if type(row["shown"]) is SealedValue else row["shown"]}
        yield Sample(f"tenant:{row['tenant']}", row["total"], row["tenant__slug"], row["tenant"], facts=facts)


MEASURES = (
    Measure("compensations_stuck", _("Compensations that need attention"), "", (Per.TENANT,), _read,
            seconds=30.0, tenants_per=(Per.TENANT,)),
)  # fmt: skip
