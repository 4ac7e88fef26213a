"""Read-only console pages of the dispatcher's rows: virtual times, messages in flight and predicted costs."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.console.filters import QueueFilter, TenantFilter
from scheduling.console.wording import duration_words, signed_words
from scheduling.models import FairShareNode, KindCost, TenantCapacity, TenantKindCost
from scheduling.statistics.costs import list_worst_predicted
from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin
from tenants.console.links import tenant_link
from tenants.console.site import console_site

# A percentage of less says nothing: the overhead of a job varies by more.
LEAST_BASE_US = 20_000


@admin.register(FairShareNode, site=console_site)
class FairShareNodeAdmin(ReadOnlyAdmin):
    """Tenants and fair keys in the queues. Of those that can run, the one of least virtual time is next."""

    empty_text = gettext_lazy("A tenant gets a row in a queue with its first job there, and one for each fair key.")

    empty_title = gettext_lazy("No tenants have queued yet")
    view_permission = Permission.TENANT_VIEW
    list_title = gettext_lazy("Virtual times")
    is_named_by_id = True
    list_display = ("queue", "key", "virtual_seconds", "weight", "is_runnable", "in_flight", "waiting", "estimate")
    list_select_related = ("queue",)
    list_filter = (QueueFilter, TenantFilter)
    ordering = ("queue__name", "vruntime")
    sortable_by = ()

    @admin.display(description=gettext_lazy("Fair key"))
    def key(self, entity: FairShareNode) -> str:
        return entity.fair_key if entity.parent_id else ""

    @admin.display(description=gettext_lazy("Virtual time"))
    def virtual_seconds(self, entity: FairShareNode) -> str:
        return f"{entity.vruntime / 1_000_000_000:,.3f} s"

    @admin.display(description=gettext_lazy("Weight"))
    def weight(self, entity: FairShareNode) -> str:
        return f"{entity.weight_milli / 1000:g}"

    @admin.display(description=gettext_lazy("Predicted cost of its next job"))
    def estimate(self, entity: FairShareNode) -> str:
        return duration_words(entity.estimate_us / 1_000_000)


@admin.register(TenantCapacity, site=console_site)
class TenantCapacityAdmin(ReadOnlyAdmin):
    """Number of messages in flight of each tenant over all pools, and its cap."""

    empty_title = gettext_lazy("No tenants have submitted yet")
    empty_text = gettext_lazy(
        "A tenant gets a row with its first job. Submit one on the page Jobs, or with POST /api/v1/jobs/."
    )
    view_permission = Permission.TENANT_VIEW
    list_title = gettext_lazy("Capacities")
    is_named_by_id = True
    list_display = ("tenant", "in_flight", "cap")
    list_select_related = ("tenant__plan",)
    sortable_by = ()

    @admin.display(description=gettext_lazy("Cap"))
    def cap(self, capacity: TenantCapacity) -> int:
        return capacity.tenant.concurrency_cap


@admin.register(KindCost, site=console_site)
class KindCostAdmin(ReadOnlyAdmin):
    """Mean cost of jobs by kind, learned from their recent executions, and how accurate the predictions are."""

    empty_title = gettext_lazy("No costs learned yet")
    empty_text = gettext_lazy(
        "A kind gets a row when its first job is completed; until then its queue's expected seconds are used."
    )

    view_permission = Permission.PLATFORM_VIEW
    list_display = ("kind", "mean", "error", "bias_words", "samples", "updated_at")
    fields = ("kind", "mean", "error", "bias_words", "samples", "updated_at", "worst_tenants")
    readonly_fields = ("mean", "error", "bias_words", "worst_tenants")
    ordering = ("kind",)
    sortable_by = ()

    @admin.display(description=gettext_lazy("Mean slot time"))
    def mean(self, cost: KindCost) -> str:
        return duration_words(cost.mean_us / 1_000_000)

    @admin.display(description=gettext_lazy("Mean error of a prediction"))
    def error(self, cost: KindCost | TenantKindCost) -> str:
        if cost.mean_error is None:
            return "–"
        if cost.mean_us < LEAST_BASE_US:
            return duration_words(cost.mean_error * cost.mean_us / 1_000_000)
        return gettext("%(mean_error)s of the measured time") % {"mean_error": f"{cost.mean_error:.0%}"}

    @admin.display(description=gettext_lazy("Bias"))
    def bias_words(self, cost: KindCost) -> str:
        if cost.bias is None:
            return "–"
        return signed_words(round(cost.bias * cost.mean_us)) if cost.mean_us < LEAST_BASE_US else f"{cost.bias:+.0%}"

    @admin.display(description=gettext_lazy("Tenants with the worst predictions"))
    def worst_tenants(self, cost: KindCost) -> SafeString | str:
        rows = list_worst_predicted(kind=cost.kind)
        text = gettext("mean %(mean)s, error %(error)s")
        lines = (
            (
                tenant_link(row.tenant.slug, row.tenant.name),
                text % {"mean": duration_words(row.mean_us / 1_000_000), "error": self.error(row)},
            )
            for row in rows
        )
        return format_html_join("", "<div>{}: {}</div>", lines) or "–"
