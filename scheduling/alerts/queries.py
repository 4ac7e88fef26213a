"""Queries of alerts: open ones, an alert's history, and the values that it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from scheduling.alerts.contact_models import Severity
from scheduling.alerts.rules import PENDING, PRIVATE, RESOLVED
from scheduling.models import Alert, AlertClock, AlertNotice, MeasureMinute
from tenants.database.clock import read_clock

# Open alerts that a page lists; a number above it is shown as "50+".
MOST_OPEN = 50
MINUTES = 60
_RANK = Case(
    *(When(severity=severity, then=Value(rank)) for rank, severity in enumerate(reversed(Severity.values))),
    output_field=IntegerField(),
)


def find_alerts() -> QuerySet[Alert]:
    """Return a queryset of the alerts that the current scope may read, with their rules and silences."""
    rows: QuerySet[Alert] = Alert.objects.select_related("tenant", "rule", "silence")
    return rows


def firing_alerts(*, about: UUID | None = None, of: Q | None = None, limit: int = MOST_OPEN) -> list[Alert]:
    """Return the firing alerts of the current scope that nothing silences or explains, the most severe first.

    ``about`` limits them to those of a tenant, or about it; ``of`` to those of its condition.
    """
    rows = find_alerts().filter(of or Q(), state=Alert.State.FIRING, silence=None, inhibited_by=None)
    if about is not None:
        rows = rows.filter(Q(tenant=about) | Q(about_tenant=about, tenant=None))
    return list(rows.order_by(_RANK, "-pk")[:limit])


def count_firing() -> int:
    """Return the number of firing alerts that nothing silences, explains or acknowledges, at most MOST_OPEN."""
    rows = Alert.objects.filter(state=Alert.State.FIRING, silence=None, inhibited_by=None, acknowledged_by="")
    return rows.order_by()[:MOST_OPEN].count()


def count_by_severity() -> dict[str, int]:
    """Return the number of firing alerts of each severity, of the newest thousand."""
    firing = Alert.objects.filter(state=Alert.State.FIRING).order_by("-pk").values_list("severity", flat=True)
    return {**dict.fromkeys(Severity.values, 0), **Counter(firing[:1_000])}


def read_evaluation_age() -> float | None:
    """Return the seconds since the rules were last evaluated, or None if they never were."""
    evaluated_at = AlertClock.objects.values_list("evaluated_at", flat=True).first()
    return None if evaluated_at is None else (read_clock() - evaluated_at).total_seconds()


def read_values(alert: Alert) -> Sequence[tuple[datetime, float | None]]:
    """Return the worst value of the alert's object in each minute of the hour until its end, or until now."""
    until = (alert.resolved_at or read_clock()).replace(second=0, microsecond=0) + timedelta(minutes=1)
    minutes = [until - timedelta(minutes=ago) for ago in range(MINUTES, 0, -1)]
    keys = {alert.object_key, alert.object_key.partition(PRIVATE)[0]}
    rows = MeasureMinute.objects.filter(
        measure=alert.facts.get("measure", ""), object_key__in=keys, minute__gte=minutes[0], minute__lt=until
    )
    values: Mapping[datetime, float] = dict(rows.values_list("minute", "worst"))
    return [(minute, values.get(minute)) for minute in minutes]


def read_notices(alert: Alert) -> list[AlertNotice]:
    """Return the newest notices of an alert with their contacts and messages, at most MOST_OPEN."""
    rows = AlertNotice.objects.filter(alert=alert).select_related("contact", "message")
    return list(rows.order_by("-revision", "-pk")[:MOST_OPEN])


def read_former(alert: Alert) -> list[Alert]:
    """Return the last three earlier alerts of the same rule and object, with what helped."""
    rows = find_alerts().filter(rule=alert.rule_id, object_key=alert.object_key, state=RESOLVED, pk__lt=alert.pk)
    return list(rows.order_by("-pk")[:3])


OPEN = ~Q(state=RESOLVED)
FIRED = ~Q(state=PENDING)
