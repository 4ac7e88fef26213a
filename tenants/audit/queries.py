"""Filtered queries of the audit log; an index serves each filter, newest entry first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from tenants.database.ids import uuid7_floor
from tenants.models import AuditLogEntry

# Ids come from the processes' clocks, `at` from the database's: ids bound the range, `at` decides.
_CLOCK_SLACK = timedelta(hours=1)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Values to filter audit entries by. A field left empty does not filter."""

    action: str = ""
    target_type: str = ""
    target_id: str = ""
    actor_kind: str = ""
    actor_id: str = ""
    actor_label: str = ""
    request_id: str = ""
    tenant: str = ""
    at_or_after: datetime | None = None
    before: datetime | None = None

    def apply(self, entries: QuerySet[AuditLogEntry]) -> QuerySet[AuditLogEntry]:
        """Return the entries of the queryset that match all filters."""
        exact = {
            "action": self.action,
            "target_type": self.target_type,
            "target_id": self.target_id,
            "actor_kind": self.actor_kind,
            "actor_id": self.actor_id,
            "actor_label": self.actor_label,
            "request_id": self.request_id,
            "tenant__slug": self.tenant,
        }
        entries = entries.filter(**{name: value for name, value in exact.items() if value})
        if self.at_or_after is not None:
            since = _within_time(self.at_or_after)
            entries = entries.filter(at__gte=since, id__gte=uuid7_floor(since - _CLOCK_SLACK))
        if self.before is not None:
            until = _within_time(self.before)
            entries = entries.filter(at__lt=until, id__lt=uuid7_floor(until + _CLOCK_SLACK))
        return entries


def _within_time(moment: datetime) -> datetime:
    """Return the time, clamped so that adding the slack cannot overflow."""
    return min(max(moment, _EARLIEST), _LATEST)
