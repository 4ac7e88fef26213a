"""The audit log as it is asked for: each filter is one range of an index, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from tenants.ids import uuid7_floor
from tenants.models import AuditLogEntry

# Ids are made by the processes' clocks, `at` by the database's: ids bound the range, `at` decides.
_CLOCK_SLACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; what is empty asks for nothing."""

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
        """The entries that are wanted."""
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
            floor = uuid7_floor(self.at_or_after - _CLOCK_SLACK)
            entries = entries.filter(at__gte=self.at_or_after, id__gte=floor)
        if self.before is not None:
            ceiling = uuid7_floor(self.before + _CLOCK_SLACK)
            entries = entries.filter(at__lt=self.before, id__lt=ceiling)
        return entries
