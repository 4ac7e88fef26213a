"""List filters whose choices do not come from a scan of a large table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from scheduling.console.wording import mark_of
from scheduling.kit import registry
from scheduling.models import DeadLetter, Execution, Queue
from scheduling.upkeep import registry as upkeep_registry
from tenants.access.caller import access_of
from tenants.models import Tenant

# More tenants make a drop-down unusable; the search finds the others.
TENANT_LIMIT = 100


class KindFilter(SimpleListFilter):
    """List filter by job kind."""

    title, parameter_name = gettext_lazy("kind"), "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(kind, kind) for kind in registry.kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class QueueFilter(SimpleListFilter):
    """List filter by queue."""

    title, parameter_name = gettext_lazy("queue"), "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in Queue.objects.order_by("name").values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(queue__name=self.value()) if self.value() else queryset


class TenantFilter(SimpleListFilter):
    """List filter by tenant, for platform staff."""

    title, parameter_name = gettext_lazy("tenant"), "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        if not access_of(request).sees_all_tenants:
            return []
        return list(Tenant.objects.order_by("slug").values_list("slug", "name")[:TENANT_LIMIT])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(tenant__slug=self.value()) if self.value() else queryset


class OutcomeFilter(SimpleListFilter):
    """List filter by the outcome of an execution."""

    title, parameter_name = gettext_lazy("outcome"), "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(outcome, mark_of(outcome).word) for outcome in Execution.Outcome.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(outcome=self.value()) if self.value() in Execution.Outcome.values else queryset


class ReasonFilter(SimpleListFilter):
    """List filter by the reason of a dead letter."""

    title, parameter_name = gettext_lazy("reason"), "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(reason, mark_of(reason).word) for reason in DeadLetter.Reason.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() in DeadLetter.Reason.values else queryset


class RequeuedFilter(SimpleListFilter):
    """List filter by whether the dead letter was requeued."""

    title, parameter_name = gettext_lazy("requeued"), "requeued"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("no", gettext("not requeued")), ("yes", gettext("requeued"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(requeued_at__isnull=self.value() == "no")


class UpkeepTaskFilter(SimpleListFilter):
    """List filter by upkeep task."""

    title, parameter_name = gettext_lazy("task"), "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(task.name, gettext(task.title)) for task in upkeep_registry.tasks()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(name=self.value()) if self.value() else queryset
