"""Admin pages of model endpoints, with their models inline, and of the usage of models."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RangeDateFilter

from tenants.access.permissions import Permission
from tenants.console.base import OfItsPage, ReadOnlyAdmin, TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.platform_settings import platform_settings
from workloads.model_endpoints.models import ENDPOINT_FIELDS, MODEL_FIELDS, EndpointModel, ModelEndpoint, UsageDay
from workloads.model_endpoints.probe import probe_endpoint
from workloads.model_endpoints.queries import list_endpoints
from workloads.model_endpoints.service import create_endpoint, delete_endpoint, facts_of, update_endpoint


class EndpointModelInline(OfItsPage, TabularInline):
    """Inline of the models of an endpoint."""

    model = EndpointModel
    fields = MODEL_FIELDS
    extra = 1

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        # The column's heading labels the field only visually.
        field.widget.attrs["aria-label"] = field.label or db_field.verbose_name.capitalize()
        return field


@admin.register(ModelEndpoint, site=console_site)
class ModelEndpointAdmin(TenantScopedAdmin):
    """Admin page of model endpoints."""

    view_permission = Permission.TENANT_VIEW
    add_permission = change_permission = Permission.TENANT_MANAGE
    list_display = ("name", "url", "model_names", "breakers", "is_enabled")
    search_fields = ("name",)
    ordering = ("name", "id")
    inlines = (EndpointModelInline,)
    readonly_fields = ("breakers", "created_at")
    post_actions = ("try_it", "delete")
    empty_title = gettext_lazy("No model endpoints yet")
    empty_text = gettext_lazy(
        "Nodes of workflows call the models of an endpoint. Without one they use the platform's, if it has any."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return list_endpoints()

    def get_fields(self, request: HttpRequest, obj: ModelEndpoint | None = None) -> Any:
        if obj is not None:
            return ("name", *ENDPOINT_FIELDS, "breakers", "created_at")
        own = ("name", *ENDPOINT_FIELDS)
        return ("tenant", *own) if self.access(request).tenant is None else own

    def get_readonly_fields(self, request: HttpRequest, obj: ModelEndpoint | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj is None else ("name", *self.readonly_fields)

    def related_values(self, obj: ModelEndpoint) -> dict[str, str]:
        """Return the models as one text, so that the conflict check includes them."""
        return {"models": str(facts_of(obj)["models"])}

    def save_model(self, request: HttpRequest, obj: ModelEndpoint, form: Any, change: bool) -> None:
        """Do nothing: `save_related` saves the endpoint together with its models."""

    def save_related(self, request: HttpRequest, form: forms.ModelForm[Any], formsets: Any, change: bool) -> None:
        """Create or update the endpoint together with its models."""
        rows = [row.cleaned_data for formset in formsets for row in formset.forms if row.cleaned_data]
        models = [{name: row[name] for name in MODEL_FIELDS} for row in rows if not row.get("DELETE")]
        values = {name: form.cleaned_data[name] for name in ENDPOINT_FIELDS}
        if change:
            update_endpoint(endpoint_id=form.instance.pk, changes={**values, "models": models})
            return
        tenant = self.access(request).tenant or form.cleaned_data["tenant"]
        name = form.cleaned_data["name"]
        form.instance.pk = create_endpoint(tenant=tenant, name=name, models=models, **values).pk

    @admin.display(description=gettext_lazy("Models"))
    def model_names(self, endpoint: ModelEndpoint) -> str:
        return ", ".join(model.name for model in endpoint.models.all())

    @admin.display(description=gettext_lazy("Open breakers"))
    def breakers(self, endpoint: Any) -> str:
        return ", ".join(endpoint.open_breakers) or "–"

    @post_action(label=gettext_lazy("Test"), permission=Permission.JOBS_SUBMIT)
    def try_it(self, request: HttpRequest, endpoint: ModelEndpoint, reason: str) -> str:
        answer = probe_endpoint(endpoint=endpoint)
        return gettext("%(model)s answered in %(seconds)s s with %(input)s + %(output)s tokens: %(text)s") % {
            "model": answer.model,
            "seconds": f"{answer.seconds:.2f}",
            "input": answer.prompt_tokens,
            "output": answer.completion_tokens,
            "text": answer.text,
        }

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("No further request is sent to its URL; nodes that name it fail. Its usage is kept."),
        permission=Permission.TENANT_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, endpoint: ModelEndpoint, reason: str) -> HttpResponse:
        delete_endpoint(endpoint=endpoint, reason=reason)
        self.message_user(request, gettext("%(endpoint)s is deleted.") % {"endpoint": endpoint})
        return HttpResponseRedirect(reverse("admin:model_endpoints_modelendpoint_changelist"))


@admin.register(UsageDay, site=console_site)
class UsageDayAdmin(ReadOnlyAdmin):
    """Admin page of the usage of models, newest day first."""

    view_permission = Permission.TENANT_VIEW
    list_display = ("day", "endpoint", "model", "requests", "prompt_tokens", "completion_tokens", "shown_cost")
    list_filter = (("day", RangeDateFilter),)
    list_filter_submit = True
    search_fields = ("model", "endpoint")
    ordering = ("-day", "endpoint", "model", "id")
    fields = ("day", "endpoint", "model", "requests", "prompt_tokens", "completion_tokens", "shown_cost")
    readonly_fields = ("shown_cost",)
    empty_title = gettext_lazy("No usage of models yet")
    empty_text = gettext_lazy("Each day is listed here with the requests, tokens and cost of each model.")

    @admin.display(description=gettext_lazy("Cost"))
    def shown_cost(self, day: UsageDay) -> str:
        return "–" if day.cost is None else f"{day.cost:.4f} {platform_settings.MODEL_CURRENCY}"
