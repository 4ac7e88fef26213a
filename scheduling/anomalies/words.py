"""What is usual for a series, and its anomalies, in words and as bands of charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from scheduling.anomalies.baselines import hour_number, learned_of
from scheduling.anomalies.detector import LEAST_SAMPLES, SCALES, Measure, range_at
from scheduling.console.wording import duration_words, percent_words
from scheduling.models import Anomaly, SeriesBaseline
from scheduling.statistics.minute_charts import Band
from tenants.models import Tenant


def read_bands(
    scope: str, name: str, minutes: Sequence[datetime], tenant_id: UUID | None = None
) -> Mapping[Measure, Band]:
    """Return the usual ranges of a series in these minutes by measure, in one query."""
    rows = SeriesBaseline.objects.filter(scope=scope, name=name, tenant=tenant_id)
    learned = {Measure(row.measure): learned_of(row) for row in rows}
    bands = {}
    for measure, scale in SCALES.items():
        if (usual := learned.get(measure)) is None:
            bands[measure] = Band((), _("What is usual is known after a day with enough runs."))
            continue
        cells = {hour: range_at(usual, hour) for hour in {hour_number(at) for at in minutes}}
        spans = {hour: (scale.back(cell.low), scale.back(cell.high)) for hour, cell in cells.items()}
        ranges = [spans[hour_number(at)] for at in minutes]
        low, high = ranges[-1]
        facts = {"low": value_words(measure, low), "high": value_words(measure, high), "samples": LEAST_SAMPLES}
        words = _("Usual at this hour: %(low)s to %(high)s; fewer than %(samples)d runs in 5 minutes are not judged.")
        bands[measure] = Band(ranges, words % facts)
    return bands


def describe(row: Anomaly) -> str:
    """Return an anomaly in words."""
    measure = Measure(row.measure)
    facts = {name: value_words(measure, getattr(row, name)) for name in ("value", "low", "high")}
    if row.is_change:
        return _("The level has changed to %(value)s; usual is %(low)s to %(high)s.") % facts
    return _("%(value)s; usual is %(low)s to %(high)s.") % facts


def name_series(rows: Iterable[Anomaly]) -> dict[str, str]:
    """Return the slugs of the tenants among these series by their names."""
    ids = {row.name for row in rows if row.scope == "tenant"}
    return {str(pk): slug for pk, slug in Tenant.objects.filter(pk__in=ids).values_list("pk", "slug")} if ids else {}


def value_words(measure: Measure, value: float) -> str:
    """Return a value with its unit."""
    if measure == Measure.RATE:
        return _("%(rate)s a minute") % {"rate": f"{value:,.0f}"}
    if measure == Measure.RESULT:
        return filesizeformat(value)
    return percent_words(value) if measure == Measure.FAILURES else duration_words(value)
