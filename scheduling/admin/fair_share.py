"""The rows that the tick keeps: virtual times and capacities, to look at."""

from __future__ import annotations

from django.contrib import admin

from scheduling.admin.filters import QueueFilter, TenantFilter
from scheduling.dashboards.wording import duration_words
from scheduling.models import SchedulingEntity, TenantCapacity
from tenants.admin.base import ReadOnlyAdmin
from tenants.permissions import Permission


@admin.register(SchedulingEntity)
class SchedulingEntityAdmin(ReadOnlyAdmin):
    """A tenant in one queue; whoever is runnable with the least virtual time is next."""

    empty_text = "A tenant gets a row in a queue with the first job that is routed there."

    view_permission = Permission.TENANT_VIEW
    list_display = ("queue", "virtual_seconds", "weight", "is_runnable", "in_flight", "waiting", "estimate")
    list_select_related = ("queue",)
    list_filter = (QueueFilter, TenantFilter)
    ordering = ("queue__name", "vruntime")
    sortable_by = ()

    @admin.display(description="Virtual time")
    def virtual_seconds(self, entity: SchedulingEntity) -> str:
        return f"{entity.vruntime / 1_000_000_000:,.3f} s"

    @admin.display(description="Weight")
    def weight(self, entity: SchedulingEntity) -> str:
        return f"{entity.weight_milli / 1000:g}"

    @admin.display(description="Predicted cost of its next job")
    def estimate(self, entity: SchedulingEntity) -> str:
        return duration_words(entity.estimate_us / 1_000_000)


@admin.register(TenantCapacity)
class TenantCapacityAdmin(ReadOnlyAdmin):
    """A tenant's messages in flight over all pools, against its cap."""

    view_permission = Permission.TENANT_VIEW
    list_display = ("tenant", "in_flight", "cap")
    list_select_related = ("tenant__plan",)
    sortable_by = ()

    @admin.display(description="Cap")
    def cap(self, capacity: TenantCapacity) -> int:
        return capacity.tenant.concurrency_cap
