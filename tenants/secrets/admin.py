"""Admin pages of stored secrets. The values are never shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.models import TenantSecret
from tenants.secrets.service import check_secret, create_secret, delete_secret, require_master_key, rotate_secret

SHOWN = ("version", "created_at", "created_by", "changed_at", "changed_by", "last_used_at")


class SecretForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form that stores a new secret, or replaces the value of an existing one."""

    bound_to = forms.CharField(
        label=gettext_lazy("Bound to"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy(
            "Hosts, one per line, such as api.example.com or *.example.com. The secret is sent only to them."
        ),
    )
    value = forms.CharField(
        label=gettext_lazy("Value"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("The value is stored encrypted and never shown again. A new value replaces it."),
    )

    class Meta:
        model = TenantSecret
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "bound_to" in self.fields:
            self.fields["bound_to"].initial = "\n".join(self.instance.hosts or ())

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        name = values.get("name", self.instance.name)
        try:
            require_master_key()
            if {"value", "bound_to"} <= values.keys():
                hosts = values["bound_to"].split()
                values["bound_to"] = check_secret(name=name, value=values["value"], hosts=hosts)
        except DomainError as refusal:
            for fault in refusal.errors:
                field = "bound_to" if fault["field"] == "hosts" else fault["field"]
                self.add_error(field if field in self.fields else None, fault["detail"])
            if not refusal.errors:
                self.add_error(None, refusal.detail)
        return values


@admin.register(TenantSecret, site=console_site)
class TenantSecretAdmin(TenantScopedAdmin):
    """Admin page of a tenant's secrets: named credentials that jobs send to other hosts."""

    view_permission = Permission.SECRETS_USE
    add_permission = change_permission = Permission.SECRETS_MANAGE
    form = SecretForm
    list_display = ("name", "hosts", "version", "changed_at", "changed_by", "last_used_at")
    search_fields = ("name",)
    ordering = ("name",)
    empty_title = gettext_lazy("No secrets yet")
    empty_text = gettext_lazy(
        "A secret is a credential that is sent only to its hosts and never shown. Headers refer to it as {{ "
        "secrets.name }}."
    )
    hidden_fields = frozenset({"sealed"})
    post_actions = ("delete",)

    def get_fields(self, request: HttpRequest, obj: TenantSecret | None = None) -> Any:
        if obj is not None:
            may_change = self.has_change_permission(request, obj)
            return ("name", "hosts", *(("bound_to", "value") if may_change else ()), *SHOWN)
        own = ("name", "bound_to", "value")
        return ("tenant", *own) if self.access(request).tenant is None else own

    def get_readonly_fields(self, request: HttpRequest, obj: TenantSecret | None = None) -> tuple[str, ...]:
        return ("name", "hosts", *SHOWN) if obj is not None else ()

    def related_values(self, obj: TenantSecret) -> dict[str, str]:
        """Return the secret's version for the conflict check; it rises when the value or the hosts are replaced."""
        return {gettext("Version"): str(obj.version)}

    def save_model(self, request: HttpRequest, obj: TenantSecret, form: Any, change: bool) -> None:
        value, hosts = form.cleaned_data["value"], form.cleaned_data["bound_to"]
        if change:
            rotate_secret(secret_id=obj.pk, value=value, hosts=hosts)
            return
        tenant = self.access(request).tenant or form.cleaned_data["tenant"]
        secret = create_secret(tenant=tenant, name=form.cleaned_data["name"], value=value, hosts=hosts)
        obj.pk, obj.tenant = secret.pk, tenant

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("Jobs that refer to this secret fail until it exists again."),
        permission=Permission.SECRETS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, secret: TenantSecret, reason: str) -> HttpResponse:
        delete_secret(secret=secret, reason=reason)
        self.message_user(request, gettext("The secret %(name)s is deleted.") % {"name": secret.name})
        return HttpResponseRedirect(reverse("admin:tenants_tenantsecret_changelist"))
