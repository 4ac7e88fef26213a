"""Console pages of circuit breakers: list them, force them open or closed, reset them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from scheduling.breakers.rules import CircuitState
from scheduling.breakers.service import REASON_LIMIT, force_circuit, reset_circuit
from scheduling.console.filters import KindFilter, TenantFilter
from scheduling.console.help_texts import HelpfulMixin
from scheduling.console.tags import badge
from scheduling.kit import registry
from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS
from scheduling.models import Circuit
from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action, until_of
from tenants.console.site import console_site
from tenants.models import Tenant

STATES = [
    (CircuitState.FORCED_OPEN.value, gettext_lazy("forced open: its jobs wait")),
    (CircuitState.FORCED_CLOSED.value, gettext_lazy("forced closed: its jobs run, whatever fails")),
]


class CircuitForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form that forces a breaker open or closed; the breaker need not exist yet."""

    kind = forms.ChoiceField(label=gettext_lazy("Kind"), widget=UnfoldAdminSelectWidget())
    dependency = forms.CharField(
        label=gettext_lazy("Dependency"),
        required=False,
        max_length=MAX_DEPENDENCY_CHARACTERS,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy(
            "The name that the kind's processor uses, such as an API's host; empty: all jobs of the kind."
        ),
    )
    state = forms.ChoiceField(label=gettext_lazy("State"), choices=STATES, widget=UnfoldAdminSelectWidget())
    until = forms.DateTimeField(
        required=False,
        label=gettext_lazy("Until (UTC)"),
        widget=UnfoldAdminTextInputWidget({"type": "datetime-local"}),
        help_text=gettext_lazy("When the forced state ends (UTC); empty: until it is reset."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=REASON_LIMIT,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Shown to the tenants whose jobs wait for it, and kept in the audit log."),
    )

    class Meta:
        model = Circuit
        fields = ("kind", "dependency", "state", "until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind, kind) for kind in registry.kinds()]  # type: ignore[attr-defined]
        if "tenant" in self.fields:
            self.fields["tenant"].required = False
            self.fields["tenant"].help_text = gettext(
                "The tenant of the jobs; empty: all tenants' jobs that need the dependency."
            )
            self.fields["tenant"].queryset = Tenant.objects.order_by("slug")  # type: ignore[attr-defined]

    def _post_clean(self) -> None:
        """Skip the validation of the model, because a service creates or changes the row."""


@admin.register(Circuit, site=console_site)
class CircuitAdmin(HelpfulMixin, TenantScopedAdmin):
    """Admin pages of the breakers in the current tenant context; there are none while nothing fails."""

    view_permission = Permission.JOBS_VIEW
    is_named_by_id = True
    add_permission = Permission.TENANT_PAUSE
    form = CircuitForm
    list_display = ("kind", "needed", "state_badge", "failures", "error", "opened_at", "until")
    list_filter = (KindFilter, TenantFilter)
    ordering = ("kind", "dependency", "id")
    sortable_by = ()
    readonly_fields = ("needed", "state_badge", "error")
    post_actions = ("reset", "force_open", "force_closed")
    empty_title = gettext_lazy("No circuit breakers")
    empty_text = gettext_lazy(
        "A breaker opens when jobs fail in a row for one cause, or when a dependency is down. Its jobs "
        "wait until one of them succeeds. No job is lost."
    )

    def get_fields(self, request: HttpRequest, obj: Circuit | None = None) -> Any:
        if obj is None:
            own = () if self.access(request).tenant is not None else ("tenant",)
            return (*own, "kind", "dependency", "state", "until", "reason")
        counted = ("failures", "fingerprint", "error", "counted_from", "opened_at", "until")
        return ("kind", "tenant", "needed", "state_badge", *counted, "forced_by", "forced_reason")

    def save_model(self, request: HttpRequest, obj: Circuit, form: Any, change: bool) -> None:
        values = form.cleaned_data
        tenant = self.access(request).tenant or values.get("tenant")
        held = force_circuit(
            kind=values["kind"],
            tenant_id=tenant.pk if tenant is not None else None,
            dependency=values["dependency"],
            is_open=values["state"] == CircuitState.FORCED_OPEN,
            until=values["until"],
            reason=values["reason"],
        )
        obj.pk, obj.kind, obj.dependency = held.pk, held.kind, held.dependency

    @post_action(
        label=gettext_lazy("Reset"),
        consequence=gettext_lazy("The breaker closes, and the jobs behind it may run at once."),
        permission=Permission.JOBS_RETRY,
        asks_reason=True,
        is_offered=lambda circuit: circuit.state != CircuitState.CLOSING,
    )
    def reset(self, request: HttpRequest, circuit: Circuit, reason: str) -> str:
        tenant_id, dependency = circuit.tenant_id, circuit.dependency
        reset_circuit(kind=circuit.kind, tenant_id=tenant_id, dependency=dependency, reason=reason)
        return gettext("The breaker of %(kind)s is reset: its failures are cleared, and its jobs are released.") % {
            "kind": circuit.kind
        }

    @post_action(
        label=gettext_lazy("Force open"),
        consequence=gettext_lazy("The jobs behind it wait until then, whatever the dependency answers."),
        permission=Permission.TENANT_PAUSE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda circuit: circuit.state != CircuitState.FORCED_OPEN,
    )
    def force_open(self, request: HttpRequest, circuit: Circuit, reason: str) -> str:
        self._force(request, circuit, reason, is_open=True)
        return gettext("The breaker of %(kind)s is forced open: its jobs wait until it is reset.") % {
            "kind": circuit.kind
        }

    @post_action(
        label=gettext_lazy("Force closed"),
        consequence=gettext_lazy("The jobs behind it run until then, even if the dependency fails."),
        permission=Permission.TENANT_PAUSE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda circuit: circuit.state != CircuitState.FORCED_CLOSED,
    )
    def force_closed(self, request: HttpRequest, circuit: Circuit, reason: str) -> str:
        self._force(request, circuit, reason, is_open=False)
        return gettext("The breaker of %(kind)s is forced closed: its jobs run, whatever fails, until it is reset.") % {
            "kind": circuit.kind
        }

    @admin.display(description=gettext_lazy("Needs"))
    def needed(self, circuit: Circuit) -> str:
        return circuit.dependency or gettext("(the kind itself)")

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, circuit: Circuit) -> SafeString:
        return badge(circuit.state)

    @admin.display(description=gettext_lazy("Last failure"))
    def error(self, circuit: Circuit) -> str:
        if circuit.forced_reason:
            return gettext("forced: %(reason)s") % {"reason": circuit.forced_reason}
        return f"{circuit.error_type}: {circuit.error_message[:90]}"

    def _force(self, request: HttpRequest, circuit: Circuit, reason: str, *, is_open: bool) -> None:
        force_circuit(
            kind=circuit.kind,
            tenant_id=circuit.tenant_id,
            dependency=circuit.dependency,
            is_open=is_open,
            until=until_of(request),
            reason=reason,
        )

    def _page_of(self, row: Any) -> str:
        return reverse("admin:scheduling_circuit_changelist")
