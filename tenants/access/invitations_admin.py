"""Console pages of invitations: the list, the form of a new one, and the page on which a person accepts one."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from tenants.access.admin import TenantPeopleAdmin
from tenants.access.devices import remember_device
from tenants.access.invitation_ends import revoke_invitation
from tenants.access.invitations import accept_invitation, accept_with_new_account, find_invitation, invite
from tenants.access.permissions import Permission
from tenants.console.links import invitation_link
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.models import Invitation

PAGE = "tenants/admin/invitation.html"
BACKEND = "django.contrib.auth.backends.ModelBackend"


@admin.register(Invitation, site=console_site)
class InvitationAdmin(TenantPeopleAdmin):
    """Admin page of a tenant's invitations.

    The link is mailed, or shown once in the response that creates the invitation.
    """

    view_permission = Permission.MEMBERS_VIEW
    add_permission = Permission.MEMBERS_MANAGE
    list_display = ("invitee", "role", "state_words", "invited_by", "created_at", "expires_at")
    list_select_related = ("invited_by",)
    empty_title = gettext_lazy("No invitations yet")
    empty_text = gettext_lazy("Invited people accept with their account, or create one, through the link.")
    hidden_fields = frozenset({"token_hash"})
    readonly_fields = ("state_words",)
    post_actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return ("invitee", "role", "state_words", "is_mailed", "invited_by", "created_at", "expires_at")
        return ("tenant", "invitee", "role") if self.access(request).sees_all_tenants else ("invitee", "role")

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        issued = invite(
            tenant=self.tenant_of(request, form),
            invitee=form.cleaned_data["invitee"],
            role=form.cleaned_data["role"],
            link_of=partial(invitation_link, request),
        )
        obj.pk = issued.invitation.pk
        request.issued_invitation = issued  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Invitation, post_url_continue: str | None = None) -> HttpResponse:
        issued = request.issued_invitation  # type: ignore[attr-defined]
        list_url = reverse("admin:tenants_invitation_changelist")
        if issued.link is None:
            messages.success(request, gettext("The invitation was mailed to %(address)s.") % {"address": obj.invitee})
            return HttpResponseRedirect(list_url)
        context = {"title": gettext("Invitation"), "link": issued.link, "list_url": list_url}
        return _page(request, "tenants/admin/invitation_shown.html", context)

    @admin.display(description=gettext_lazy("State"))
    def state_words(self, invitation: Invitation) -> str:
        words = {
            "pending": gettext("pending"),
            "accepted": gettext("accepted"),
            "revoked": gettext("revoked"),
            "expired": gettext("expired"),
        }
        return words[invitation.state_at(timezone.now())]

    @post_action(
        label=gettext_lazy("Revoke"),
        consequence=gettext_lazy("The link of the invitation is refused from now on."),
        permission=Permission.MEMBERS_MANAGE,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda invitation: invitation.state_at(timezone.now()) == "pending",
    )
    def revoke(self, request: HttpRequest, invitation: Invitation, reason: str) -> str:
        revoke_invitation(invitation=invitation, reason=reason)
        return gettext("The invitation of %(user)s is revoked.") % {"user": invitation.invitee}


class NewAccountForm(forms.Form):
    """Form for the user name and password of a new account that accepts an invitation."""

    username = forms.CharField(
        max_length=140,
        widget=UnfoldAdminTextInputWidget(),
        label=gettext_lazy("User name"),
        help_text=gettext_lazy("Some characters are appended; the next page shows the full name."),
    )
    password = forms.CharField(
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}), label=gettext_lazy("Password")
    )


def invitation_page(request: HttpRequest) -> HttpResponse:
    """Show the invitation of a link; on POST, accept it with the logged-in account or with a new one."""
    token = request.GET.get("token", "")
    user: Any = request.user
    try:
        invitation = find_invitation(token)
        if request.method == "POST" and user.is_authenticated:
            accept_invitation(token=token, user=user)
            return _welcome(request, invitation, user.get_username())
        form = NewAccountForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            made = accept_with_new_account(token=token, **form.cleaned_data)
            login(request, made, backend=BACKEND)
            response = _welcome(request, invitation, made.get_username())
            remember_device(request, response)
            return response
    except DomainError as refusal:
        return _page(request, PAGE, {"title": gettext("Invitation"), "refusal": refusal.detail}, status=400)
    here = f"{request.path}?{urlencode({'token': token})}"
    context = {
        "title": gettext("Invitation"),
        "invitation": invitation,
        "form": form,
        "person": user if user.is_authenticated else None,
        "login_url": f"{reverse('admin:login')}?{urlencode({'next': here})}",
    }
    return _page(request, PAGE, context)


def _welcome(request: HttpRequest, invitation: Invitation, name: str) -> HttpResponse:
    values = {"tenant": invitation.tenant.name, "name": name}
    messages.success(request, gettext("You are a member of %(tenant)s. Your user name is %(name)s.") % values)
    return HttpResponseRedirect(reverse("admin:index"))


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    # The link must not reach a cache, or the message cookie.
    response = TemplateResponse(request, template, {**console_site.each_context(request), **context}, status=status)
    add_never_cache_headers(response)
    return response
