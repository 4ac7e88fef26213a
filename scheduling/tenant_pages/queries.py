"""Load of tenants for their list: shares, waiting jobs, failures and worker time, from rollups, gauges and counters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    F,
    FloatField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Now

from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import FairShareNode, TenantGauge, TenantMinute
from scheduling.shares.history import HistorySpan, ShareLine, read_share_history
from scheduling.statistics.gauge_queries import LATEST_AGE
from tenants.limits.declared import month_of
from tenants.models import Tenant, TenantLimit, TenantUsage

# The value of ``share`` of a tenant that is not compared, so that it is listed last.
NOT_COMPARED = -1.0
_HOUR = timedelta(hours=1)

# The most tenants whose shares are compared.
MAX_COMPARED = 1_000


def read_lines() -> Sequence[ShareLine]:
    """Return the shares of the last ten minutes, the overview's measure; do not show them to tenants."""
    return read_share_history(HistorySpan.RECENT, limit=MAX_COMPARED).lines


def with_load(tenants: QuerySet[Tenant], lines: Sequence[ShareLine]) -> QuerySet[Tenant]:
    """Annotate tenants with their load, without reading jobs.

    ``share`` is the ratio of the tenant's line or NOT_COMPARED, ``verdict`` that of its line or '', ``waiting`` the
    number of its waiting jobs, ``oldest_at`` since when the oldest has waited, ``failures`` the failed executions of
    the last hour, ``worker_us`` the worker time of this month in microseconds, and ``quota`` how many seconds of it
    are allowed.
    """
    own = Q(tenant=OuterRef("pk"))
    ratios = [When(pk=line.tenant_id, then=Value(line.ratio)) for line in lines if line.ratio is not None]
    verdicts = [When(pk=line.tenant_id, then=Value(line.verdict.value)) for line in lines]
    nodes = FairShareNode.objects.filter(own, parent=None).order_by().values("tenant")
    newest = TenantGauge.objects.filter(minute__gt=Now() - LATEST_AGE).order_by("-minute").values("minute")[:1]
    gauges = TenantGauge.objects.filter(own, minute=Subquery(newest), waiting__gt=0).order_by().values("tenant")
    minutes = TenantMinute.objects.filter(own, minute__gt=Now() - _HOUR).order_by().values("tenant")
    used = TenantUsage.objects.filter(own, key=WORKER_SECONDS.key, period=month_of(datetime.now(UTC)))
    overrides = TenantLimit.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), own, key=WORKER_SECONDS.key)
    return tenants.annotate(
        share=Case(*ratios, default=Value(NOT_COMPARED), output_field=FloatField()),
        verdict=Case(*verdicts, default=Value(""), output_field=CharField()),
        waiting=Coalesce(Subquery(nodes.annotate(n=Sum(F("waiting") + F("keys_waiting"))).values("n")), 0),
        oldest_at=Subquery(gauges.annotate(at=Min("oldest_at")).values("at")),
        failures=Coalesce(Subquery(minutes.annotate(n=Sum("failed")).values("n")), 0),
        worker_us=Coalesce(Subquery(used.values("amount")[:1]), 0),
        quota=Coalesce(
            Subquery(overrides.values("value")[:1]),
            F("plan__worker_seconds_per_month"),
            output_field=BigIntegerField(),
        ),
    )
