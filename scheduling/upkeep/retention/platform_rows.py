"""Pruning of rows that no plan governs: ended sessions, workers, upkeep runs, fires of schedules and warnings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from scheduling.inbox.models import DEDUPLICATED_FOR
from scheduling.models import (
    Alert,
    AlertCause,
    AlertMessage,
    AlertNotice,
    AlertSilence,
    BulkFormer,
    BulkOperation,
    Compensation,
    InboxEvent,
    Investigation,
    MeasureMinute,
    OutboxMessage,
    PlatformIncident,
    PlatformLog,
    ResultCacheEntry,
    ScheduleFire,
    TenantUpkeepRun,
    UpkeepRun,
    Worker,
)
from scheduling.upkeep.retention.rules import record_pruning
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor
from tenants.holds.service import without_held
from tenants.models import LimitWarning

STOPPED_WORKERS = timedelta(days=7)
UPKEEP_RUNS = timedelta(days=14)
TENANT_RUNS = timedelta(days=90)
# A fire that waits for the previous run never expires.
SCHEDULE_FIRES = timedelta(days=90)
LIMIT_WARNINGS = timedelta(days=400)
# The time in which a bulk operation can be undone, and in which it is listed.
BULK_FORMERS = timedelta(days=7)
BULK_OPERATIONS = timedelta(days=90)
ALERTS = timedelta(days=90)
# The time that a backtest looks at, and after which a cause is new again.
MEASURES, CAUSES = timedelta(days=31), timedelta(days=30)
SILENCES = timedelta(days=400)
PLATFORM_LINES = timedelta(days=14)
INVESTIGATIONS = timedelta(days=180)
OUTBOX_DELIVERED, OUTBOX_REST = timedelta(days=7), timedelta(days=30)
COMPENSATIONS = timedelta(days=90)


def prune_platform_rows(*, limit: int) -> dict[str, int]:
    """Delete at most ``limit`` old rows of each type; return the numbers of deleted rows by type."""
    with all_tenants():
        workers = Worker.objects.filter(status=Worker.Status.STOPPED, stopped_at__lt=Now() - STOPPED_WORKERS)
        runs = UpkeepRun.objects.filter(finished_at__lt=Now() - UPKEEP_RUNS)
        tenant_runs = TenantUpkeepRun.objects.filter(finished_at__lt=Now() - TENANT_RUNS)
        now = timezone.now()
        fires = ScheduleFire.objects.filter(id__lt=uuid7_floor(now - SCHEDULE_FIRES))
        warnings = LimitWarning.objects.filter(period__lt=(now - LIMIT_WARNINGS).date())
        operations = BulkOperation.objects.filter(finished_at__lt=Now() - BULK_OPERATIONS)
        formers = BulkFormer.objects.filter(operation__finished_at__lt=Now() - BULK_FORMERS)
        # Rows that a running undo needs are kept.
        formers = formers.exclude(operation__undone_by__finished_at__isnull=True, operation__undone_by__isnull=False)
        counts = {
            "alerts": _prune_alerts(limit),
            "bulk_formers": _delete(formers, limit),
            "bulk_operations": _delete(operations, limit),
            "schedule_fires": _delete(fires.exclude(outcome=ScheduleFire.Outcome.WAITING), limit),
            "investigations": _delete(Investigation.objects.filter(pk__lt=uuid7_floor(now - INVESTIGATIONS)), limit),
            "limit_warnings": _delete(warnings, limit),
            "messages": _prune_messages(limit),
            "platform_lines": _delete(PlatformLog.objects.filter(pk__lt=uuid7_floor(now - PLATFORM_LINES)), limit),
            "sessions": _delete(Session.objects.filter(expire_date__lt=Now()), limit),
            "workers": _delete(workers, limit),
            "upkeep_runs": _delete(runs, limit) + _delete(tenant_runs, limit),
            "cached_results": _delete(ResultCacheEntry.objects.filter(expires_at__lt=Now()), limit),
        }
        record_pruning("platform_rows", counts)
        return counts


def _prune_alerts(limit: int) -> int:
    floor = uuid7_floor(timezone.now() - ALERTS)
    old: list[QuerySet[Any]] = [
        AlertNotice.objects.filter(pk__lt=floor),
        AlertMessage.objects.filter(pk__lt=floor),
        Alert.objects.filter(state=Alert.State.RESOLVED, resolved_at__lt=Now() - ALERTS),
        AlertSilence.objects.filter(ends_at__lt=Now() - SILENCES),
        AlertCause.objects.filter(last_at__lt=Now() - CAUSES),
        MeasureMinute.objects.filter(minute__lt=Now() - MEASURES),
        PlatformIncident.objects.filter(minute__lt=Now() - MEASURES),
    ]
    return sum(_delete(rows, limit) for rows in old)


def _prune_messages(limit: int) -> int:
    now = timezone.now()
    states = OutboxMessage.State
    delivered = OutboxMessage.objects.filter(pk__lt=uuid7_floor(now - OUTBOX_DELIVERED), state=states.DELIVERED)
    rest = OutboxMessage.objects.filter(pk__lt=uuid7_floor(now - OUTBOX_REST)).exclude(state=states.PENDING)
    events = InboxEvent.objects.filter(pk__lt=uuid7_floor(now - DEDUPLICATED_FOR))
    undone = Compensation.objects.filter(ended_at__lt=Now() - COMPENSATIONS)
    return sum(_delete(rows, limit) for rows in (delivered, rest, events, undone))


def _delete[RowT: Model](rows: QuerySet[RowT], limit: int) -> int:
    if any(field.name == "tenant" for field in rows.model._meta.fields):
        rows = without_held(rows)
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return rows.model._default_manager.filter(pk__in=keys).delete()[0] if keys else 0
