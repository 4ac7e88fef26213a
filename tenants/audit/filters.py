"""Filters of the audit log's page. Each takes an exact value, so that an index serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy, gettext_noop
from unfold.contrib.filters.admin import RangeDateTimeFilter, TextFilter
from unfold.utils import parse_datetime_str

from tenants.access.caller import access_of
from tenants.audit.queries import AuditFilter
from tenants.models import AuditLogEntry


class ExactFilter(TextFilter, ABC):
    """Base of filters by a complete value."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditLogEntry]) -> QuerySet[AuditLogEntry]:
        value = (self.value() or "").strip()
        return self.wanted(value).apply(queryset) if value else queryset

    @abstractmethod
    def wanted(self, value: str) -> AuditFilter:
        """Return the audit filter for the entered value."""


ACTOR_KINDS = {
    "api_key": gettext_noop("API key"),
    "command": gettext_noop("command"),
    "system": gettext_noop("system"),
    "trigger": gettext_noop("webhook trigger"),
    "user": gettext_noop("user"),
}


def actor_label(row: Any) -> str:
    """Return the text that names the actor of an audit entry: name, or else id, and kind."""
    kind = gettext(ACTOR_KINDS.get(row.actor_kind, row.actor_kind))
    return f"{row.actor_label or row.actor_id} ({kind})"


class ActionFilter(ExactFilter):
    """Filter by action, such as `tenant.suspended`."""

    title, parameter_name = gettext_lazy("action, such as tenant.suspended"), "action"

    def wanted(self, value: str) -> AuditFilter:
        return AuditFilter(action=value)


class TargetFilter(ExactFilter):
    """Filter by a target's id, or by its type if the value looks like `app.model`."""

    title, parameter_name = gettext_lazy("target: an id, or a type such as tenants.tenant"), "target"

    def wanted(self, value: str) -> AuditFilter:
        # Types are `app.model`; ids of targets are numbers, UUIDs and names.
        is_type = value.count(".") == 1 and value.replace(".", "").replace("_", "").isalpha()
        return AuditFilter(target_type=value) if is_type else AuditFilter(target_id=value)


class ActorFilter(ExactFilter):
    """Filter by an actor's name, or by its id if the value looks like a number or a UUID."""

    title, parameter_name = gettext_lazy("actor: a name or an id"), "actor"

    def wanted(self, value: str) -> AuditFilter:
        is_id = value.isascii() and (value.isdigit() or (len(value) == 36 and value.count("-") == 4))
        return AuditFilter(actor_id=value) if is_id else AuditFilter(actor_label=value)


class RequestFilter(ExactFilter):
    """Filter by request id, which every response carries as X-Request-ID."""

    title, parameter_name = gettext_lazy("request id"), "request"

    def wanted(self, value: str) -> AuditFilter:
        return AuditFilter(request_id=value)


class AuditTenantFilter(ExactFilter):
    """Filter by a tenant's slug, for callers that see all tenants."""

    title, parameter_name = gettext_lazy("tenant: its slug"), "tenant"

    def wanted(self, value: str) -> AuditFilter:
        """Return the audit filter for the tenant's slug."""
        return AuditFilter(tenant=value)

    def has_output(self) -> bool:
        """Return whether the filter is shown: only if the request sees all tenants."""
        return self.is_for_all

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.is_for_all = access_of(request).sees_all_tenants
        super().__init__(request, *args, **kwargs)


class MomentFilter(RangeDateTimeFilter):
    """Filter by a range of time in UTC; the end is exclusive."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditLogEntry]) -> QuerySet[AuditLogEntry]:
        return AuditFilter(at_or_after=self._moment("from"), before=self._moment("to")).apply(queryset)

    def _moment(self, end: str) -> datetime | None:
        date, time = (self.used_parameters.get(f"at_{end}_{part}") for part in (0, 1))
        moment = parse_datetime_str(f"{date} {time or '00:00:00'}") if date else None
        return None if moment is None else moment.replace(tzinfo=UTC)
