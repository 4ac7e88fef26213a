"""Measures of the outbox that alert rules compare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Max, OuterRef, Subquery
from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from scheduling.outbox.models import OutboxMessage, OutboxRoute
from tenants.encryption.fields import SealedValue

# For this time a dead message is counted.
DEAD_AGE = timedelta(hours=1)


def _read_ages(now: datetime) -> Iterator[Sample]:
    pending = OutboxMessage.objects.filter(route=OuterRef("pk"), state=OutboxMessage.State.PENDING)
    oldest = Subquery(pending.order_by("created_at").values("created_at")[:1])
    routes = OutboxRoute.objects.filter(is_enabled=True).annotate(oldest=oldest).exclude(oldest=None)
    worst = routes.select_related("tenant").order_by("tenant_id", "oldest").distinct("tenant_id")
    for route in worst:
        age = (now - route.oldest).total_seconds()
        yield _sample(route.tenant_id, route.tenant.slug, age, str(route))  # type: ignore[union-attr]


def _read_dead(now: datetime) -> Iterator[Sample]:
    dead = OutboxMessage.objects.filter(state=OutboxMessage.State.DEAD, ended_at__gt=now - DEAD_AGE)
    found = dead.values("tenant", "tenant__slug").annotate(total=Count("pk"), shown=Max("error")).order_by("tenant")
    for row in found:
        # Alerts are sent and stored in plain, so they do not have what is sealed.
        shown = "" if type(row["shown"]) is SealedValue else row["shown"]
        yield _sample(row["tenant"], row["tenant__slug"], row["total"], shown)


def _sample(tenant_id: object, slug: str, value: float, message: str) -> Sample:
    return Sample(f"tenant:{tenant_id}", value, slug, tenant_id, facts={"message": message})  # type: ignore[arg-type]


MEASURES = (
    Measure("outbox_age", _("Age of the oldest message in the outbox"), "s", (Per.TENANT,), _read_ages, 60.0,
            seconds=30.0, tenants_per=(Per.TENANT,)),
    Measure("outbox_dead", _("Messages given up in the last hour"), "", (Per.TENANT,), _read_dead,
            seconds=30.0, tenants_per=(Per.TENANT,)),
)  # fmt: skip
