"""Admin pages of a tenant's members and API keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from tenants.access.api_keys import choose_end, issue_api_key, read_networks, revoke_api_key, rotate_api_key
from tenants.access.key_queries import WARNED_BEFORE
from tenants.access.memberships import change_role, remove_member
from tenants.access.permission_texts import text_of
from tenants.access.permissions import KEY_PERMISSIONS, PLATFORM_KEY_PERMISSIONS, Permission
from tenants.access.roles import role_choices
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import FieldInvalidError
from tenants.models import ApiKey, Membership, PlatformKey


class TenantPeopleAdmin(TenantScopedAdmin):
    """Base admin of rows that grant access to a tenant.

    Platform staff choose the tenant of a new row in the form; members add rows to their own tenant only.
    """

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if self.access(request).sees_all_tenants else ("tenant",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the form field; a role is chosen among the shipped ones and the tenant's own."""
        if db_field.name != "role":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        choices = role_choices(has_shipped=not db_field.blank)
        return forms.ChoiceField(
            choices=[("", "–"), *choices] if db_field.blank else choices,
            required=not db_field.blank,
            initial=db_field.get_default(),
            label=capfirst(db_field.verbose_name),
            help_text=db_field.help_text,
            widget=UnfoldAdminSelectWidget(),
        )

    def tenant_of(self, request: HttpRequest, form: Any) -> Any:
        """Return the tenant of a new row: the one chosen in the form, else the tenant of the request."""
        return form.cleaned_data.get("tenant") or self.access(request).tenant


@admin.register(Membership, site=console_site)
class MembershipAdmin(TenantPeopleAdmin):
    """Admin page of a tenant's members and their roles."""

    view_permission = Permission.MEMBERS_VIEW
    list_title = gettext_lazy("Members")
    change_permission = Permission.MEMBERS_MANAGE
    list_display = ("user", "role", "created_at")
    list_select_related = ("user",)
    empty_title = gettext_lazy("No members yet")
    empty_text = gettext_lazy("Invite people to the tenant; their role sets their permissions.")
    post_actions = ("remove",)

    fields = ("user", "role", "is_by_claims", "created_at")
    readonly_fields = ("user", "is_by_claims", "created_at")

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        change_role(membership=Membership.objects.get(pk=obj.pk), role=form.cleaned_data["role"])

    @post_action(
        label=gettext_lazy("Remove"),
        consequence=gettext_lazy("The person loses access to the tenant at once."),
        permission=Permission.MEMBERS_MANAGE,
        is_danger=True,
    )
    def remove(self, request: HttpRequest, membership: Membership, reason: str) -> str:
        sentence = gettext("%(user)s is no longer a member.") % {"user": membership.user}
        remove_member(membership=membership)
        return sentence

    def _page_of(self, row: Any) -> str:
        return reverse("admin:tenants_membership_changelist")


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a new API key: its name, scopes, expiry time and allowed networks."""

    allowed: ClassVar[frozenset[Permission]] = KEY_PERMISSIONS
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"),
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=gettext_lazy("Select as few as the program needs. No key can manage keys or members."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes = [scope for scope in Permission if scope in self.allowed]
        field: Any = self.fields["scopes"]
        field.choices = [(scope.value, f"{scope.value}: {gettext(text_of(scope))}") for scope in scopes]

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "role", "expires_at", "allowed_addresses")

    never_expires = forms.BooleanField(
        label=gettext_lazy("Never expires"),
        required=False,
        help_text=gettext_lazy("The key is valid until it is revoked; a time above is ignored."),
    )

    def clean(self) -> dict[str, Any]:
        """Check the expiry time and the networks, so that their errors are shown at the fields."""
        values: dict[str, Any] = super().clean() or {}
        try:
            if not values.get("never_expires"):
                choose_end(values.get("expires_at"))
            read_networks(values.get("allowed_addresses") or ())
        except FieldInvalidError as refusal:
            self.add_error(refusal.errors[0]["field"], refusal.detail)
        return values


class PlatformKeyForm(ApiKeyForm):
    """Form of a new key of the platform, which can have more scopes than a tenant's."""

    allowed = PLATFORM_KEY_PERMISSIONS


def key_acts(permission: Permission) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the actions `rotate` and `revoke` of a page of keys."""

    @post_action(
        label=gettext_lazy("Rotate"),
        consequence=gettext_lazy("A new key is shown once. The old one stays valid for at most seven more days."),
        permission=permission,
        asks_reason=True,
        is_offered=lambda key: key.rotated_at is None and key.is_valid_at(timezone.now()),
    )
    def rotate(page: Any, request: HttpRequest, api_key: ApiKey, reason: str) -> HttpResponse:
        """Issue a key in place of this one, and show its token."""
        response: HttpResponse = page.show_token(request, rotate_api_key(api_key=api_key, reason=reason).token)
        return response

    @post_action(
        label=gettext_lazy("Revoke"),
        consequence=gettext_lazy("Requests with this key are refused at once."),
        permission=permission,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda key: key.revoked_at is None,
    )
    def revoke(page: Any, request: HttpRequest, api_key: ApiKey, reason: str) -> str:
        """Revoke the key at once."""
        revoke_api_key(api_key=api_key, reason=reason)
        return gettext("The key %(api_key)s is revoked.") % {"api_key": api_key}

    return rotate, revoke


@admin.register(ApiKey, site=console_site)
class ApiKeyAdmin(TenantPeopleAdmin):
    """Admin page of a tenant's API keys. A key's token is shown once, in the response that creates the key."""

    view_permission = Permission.API_KEYS_VIEW
    add_permission = Permission.API_KEYS_MANAGE
    list_display = ("name", "prefix", "state_words", "created_at", "issuer", "last_used_at", "expires_at", "revoked_at")
    empty_title = gettext_lazy("No API keys yet")
    empty_text = gettext_lazy("Each program needs an API key of its own. Issue one with only the scopes that it needs.")
    post_actions = ("rotate", "revoke")
    rotate, revoke = key_acts(Permission.API_KEYS_MANAGE)
    issue_form: ClassVar[type[ApiKeyForm]] = ApiKeyForm
    list_before_template = "tenants/admin/key_links.html"
    hidden_fields = frozenset({"secret_hash"})
    list_select_related = ("created_by",)
    readonly_fields = ("state_words", "issuer")

    def get_queryset(self, request: HttpRequest) -> Any:
        # Over all tenants, the platform's keys are visible, too.
        return super().get_queryset(request).filter(tenant__isnull=False)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        has_others = self.model is ApiKey and self.access(request).may(Permission.PEOPLE_VIEW)
        context = {**(extra_context or {}), "shows_platform_keys": has_others}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = self.issue_form
        return super().get_form(request, obj, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return ("name", "prefix", "state_words", "scopes", "role", "allowed_addresses", *self.list_display[3:])
        own = ("name", "scopes", "role", "expires_at", "never_expires", "allowed_addresses")
        return ("tenant", *own) if self.access(request).sees_all_tenants else own

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        given = form.cleaned_data
        values = {name: given[name] for name in ApiKeyForm.Meta.fields if name in given}
        never = form.cleaned_data["never_expires"]
        issued = issue_api_key(tenant=self.tenant_of(request, form), never_expires=never, **values)
        obj.pk = issued.key.pk
        request.issued_token = issued.token  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("Issued by"))
    def issuer(self, key: ApiKey) -> str:
        return str(key.created_by or gettext("a command"))

    @admin.display(description=gettext_lazy("State"))
    def state_words(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return gettext("revoked")
        now = timezone.now()
        if not key.is_valid_at(now):
            return gettext("expired")
        ends_soon = key.expires_at is not None and key.expires_at <= now + WARNED_BEFORE
        return gettext("ends soon") if ends_soon else gettext("valid")

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        return self.show_token(request, request.issued_token)  # type: ignore[attr-defined]

    def show_token(self, request: HttpRequest, token: str) -> HttpResponse:
        """Return a page with the token of a new key."""
        # Neither a message nor a redirect: both would put the token into a cookie or a URL.
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("API key issued"),
            "token": token,
            "list_url": reverse(f"admin:tenants_{self.opts.model_name}_changelist"),
        }
        response = TemplateResponse(request, "tenants/admin/key_issued.html", context)
        add_never_cache_headers(response)
        return response


@admin.register(PlatformKey, site=console_site)
class PlatformKeyAdmin(ApiKeyAdmin):
    """Admin page of the platform's API keys, for programs that act in all tenants."""

    view_permission = Permission.PEOPLE_VIEW
    add_permission = Permission.PEOPLE_MANAGE
    rotate, revoke = key_acts(Permission.PEOPLE_MANAGE)
    issue_form = PlatformKeyForm
    empty_title = gettext_lazy("No platform keys yet")
    empty_text = gettext_lazy(
        "A program that provisions tenants or operates the platform needs a key of its own. Issue one with only the "
        "scopes that it needs."
    )

    @property
    def _has_tenant(self) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return self.model._default_manager.filter(tenant=None)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in super().get_fields(request, obj) if name not in ("tenant", "role")]

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("tenant",)

    def tenant_of(self, request: HttpRequest, form: Any) -> None:
        """Return None: the key belongs to no tenant."""
