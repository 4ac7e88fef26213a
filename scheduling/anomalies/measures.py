"""Measure of anomalies that alert rules compare: how far open deviations are beyond what is usual."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import PRIVATE, Per, Sample
from scheduling.anomalies.words import describe, name_series
from scheduling.models import Anomaly


def _read(now: datetime) -> Iterator[Sample]:
    rows = list(Anomaly.objects.filter(ended_at=None).order_by("-id")[:1_000])
    slugs = name_series(rows)
    worst: dict[str, Sample] = {}
    for row in rows:
        # A kind of one tenant is only for its own rules: those of the platform see the kind of all tenants.
        is_own = row.tenant_id is not None and row.scope != "tenant"
        key = f"series:{row.series}:{row.measure}" + (f"{PRIVATE}{row.tenant_id}" if is_own else "")
        if key not in worst or worst[key].value < abs(row.score):
            facts = {"message": describe(row)}
            label = f"{slugs.get(row.name, row.name)}: {row.get_measure_display()}"
            worst[key] = Sample(key, abs(row.score), label, row.tenant_id, (row.series,), facts=facts)
    yield from worst.values()


_P = (Per.SERIES,)
MEASURES = (Measure("anomaly", _("Deviation from what is usual"), "", _P, _read, seconds=15.0, tenants_per=_P),)
