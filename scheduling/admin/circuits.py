"""Circuit breakers in the console: what failed, until when its jobs wait, and closing one by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from scheduling.admin.filters import KindFilter, TenantFilter
from scheduling.circuit import CircuitState
from scheduling.dashboards.tags import badge
from scheduling.models import Circuit
from scheduling.services.circuits import reset_circuit
from tenants.admin.base import ReadOnlyAdmin
from tenants.admin.post_actions import post_action
from tenants.permissions import Permission


@admin.register(Circuit)
class CircuitAdmin(ReadOnlyAdmin):
    """Breakers of the scope of the moment; there is none while nothing fails."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("kind", "state_badge", "failures", "error", "opened_at", "until")
    list_filter = (KindFilter, TenantFilter)
    ordering = ("kind", "id")
    sortable_by = ()
    fields = ("kind", "tenant", "state_badge", "failures", "fingerprint", "error", "counted_from", "opened_at", "until")
    readonly_fields = ("state_badge", "error")
    post_actions = ("reset",)
    empty_title = "No jobs fail in a row"
    empty_text = (
        "Where a tenant's jobs of one kind fail one after another of one cause, the rest wait until one of them works"
        " again. Nothing of them is lost."
    )

    @post_action(
        label="Close it now",
        permission=Permission.JOBS_RETRY,
        asks_reason=True,
        is_offered=lambda circuit: circuit.state != CircuitState.CLOSING,
    )
    def reset(self, request: HttpRequest, circuit: Circuit, reason: str) -> str:
        reset_circuit(kind=circuit.kind, tenant_id=circuit.tenant_id, reason=reason)
        return f"Jobs of kind {circuit.kind} come back, and what failed is forgotten."

    @admin.display(description="State")
    def state_badge(self, circuit: Circuit) -> SafeString:
        return badge(circuit.state)

    @admin.display(description="Last failure")
    def error(self, circuit: Circuit) -> str:
        return f"{circuit.error_type}: {circuit.error_message[:90]}"

    def _page_of(self, row: Any) -> str:
        return reverse("admin:scheduling_circuit_changelist")
