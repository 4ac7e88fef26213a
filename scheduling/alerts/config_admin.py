"""Console pages of the alerts' configuration: groups, contacts, routes, owners, silences, and the messages sent."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from scheduling.alerts import config
from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.links import job_link
from scheduling.models import AlertMessage, AlertOwner, AlertRoute, AlertSilence, Contact, ContactGroup
from tenants.access.permissions import Permission, PlatformRole
from tenants.console.keyset import KeysetAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import Role

_RESPOND = Permission.ALERTS_RESPOND


@admin.register(ContactGroup, site=console_site)
class ContactGroupAdmin(ConfiguredAdmin):
    """Admin page of contact groups."""

    configured = config.GROUPS
    list_display = ("name", "description", "is_default", "contacts")
    empty_title = gettext_lazy("No contact groups yet")
    empty_text = gettext_lazy(
        "Alerts notify the contacts of a group: of the object's owner, of a route, or the default."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("contacts")

    @admin.display(description=gettext_lazy("Contacts"))
    def contacts(self, group: ContactGroup) -> str:
        return ", ".join(f"{contact.get_channel_display()} {contact}" for contact in group.contacts.all()) or "–"


class ContactForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a contact. Its target is never shown; an empty one leaves it as it is."""

    target = forms.CharField(
        label=gettext_lazy("Target"),
        required=False,
        max_length=2_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy(
            "A URL; for mail, addresses separated by commas; for PagerDuty and Opsgenie, a key. It is not shown again."
        ),
    )
    roles = forms.MultipleChoiceField(
        label=gettext_lazy("Roles"),
        required=False,
        choices=[*Role.choices, *((role.value, role.value) for role in PlatformRole)],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=gettext_lazy("For mail to a role: the tenant's roles, or the platform's for its own contacts."),
    )
    label = forms.CharField(
        label=gettext_lazy("Label"), required=False, max_length=60, widget=UnfoldAdminTextInputWidget()
    )

    def clean_target(self) -> str | None:
        """Return the target, or None for one that stays."""
        return self.cleaned_data["target"].strip() or None


@admin.register(Contact, site=console_site)
class ContactAdmin(ConfiguredAdmin):
    """Admin page of contacts, with a button that sends a test."""

    configured = config.CONTACTS
    form = ContactForm
    hidden_fields = frozenset({"sealed_target", "sealed_secret"})
    list_display = ("label", "channel", "group", "min_severity", "is_enabled", "failures")
    list_filter = ("channel", "is_enabled")
    list_select_related = ("group",)
    readonly_fields = ("failures", "disabled_reason", "last_messages")
    post_actions = ("try_it", "enable", "delete")
    empty_title = gettext_lazy("No contacts yet")
    empty_text = gettext_lazy(
        "A contact is a mail address, a role, or a URL or key of Slack, Teams, PagerDuty and others."
    )

    @admin.display(description=gettext_lazy("Last messages"))
    def last_messages(self, contact: Contact) -> str:
        rows = contact.messages.order_by("-pk")[:5]
        return (
            "; ".join(f"{row.created_at:%Y-%m-%d %H:%M} {row.get_state_display()} {row.error}" for row in rows) or "–"
        )

    @post_action(label=gettext_lazy("Send a test"), permission=_RESPOND)
    def try_it(self, request: HttpRequest, contact: Contact, reason: str) -> HttpResponse:
        message = config.send_test(contact)
        self.message_user(request, gettext("The test message is queued. Reload this page for its result."))
        return HttpResponseRedirect(reverse("admin:scheduling_alertmessage_change", args=[message.pk]))

    @post_action(
        label=gettext_lazy("Enable"),
        permission=Permission.ALERTS_MANAGE,
        is_offered=lambda contact: not contact.is_enabled,
    )
    def enable(self, request: HttpRequest, contact: Contact, reason: str) -> str:
        config.enable(contact, reason=reason)
        return gettext("%(contact)s is enabled.") % {"contact": contact}


@admin.register(AlertRoute, site=console_site)
class AlertRouteAdmin(ConfiguredAdmin):
    """Admin page of routes, by position."""

    configured = config.ROUTES
    list_display = ("position", "measure", "min_severity", "group")
    list_select_related = ("group",)
    ordering = ("position", "pk")
    empty_title = gettext_lazy("No routes yet")
    empty_text = gettext_lazy("Alerts without an owner go to the default group, unless a route sends them to another.")


@admin.register(AlertOwner, site=console_site)
class AlertOwnerAdmin(ConfiguredAdmin):
    """Admin page of the owners of queues, kinds and templates."""

    configured = config.OWNERS
    list_display = ("name", "target", "group")
    list_select_related = ("group",)
    empty_title = gettext_lazy("No owners yet")
    empty_text = gettext_lazy("An alert about a queue, kind or template goes to the group that owns it.")


@admin.register(AlertSilence, site=console_site)
class AlertSilenceAdmin(ConfiguredAdmin):
    """Admin page of silences and maintenance windows."""

    configured = config.SILENCES
    add_permission = change_permission = _RESPOND
    list_display = ("reason", "rule", "object_key", "starts_at", "ends_at", "is_maintenance", "created_by")
    list_select_related = ("rule",)
    ordering = ("-ends_at", "-pk")
    readonly_fields = ("created_by", "ended_by")
    post_actions = ("end",)
    empty_title = gettext_lazy("No silences")
    empty_text = gettext_lazy("Alerts that match a silence are shown, but send no notifications until it ends.")

    @post_action(
        label=gettext_lazy("End"),
        consequence=gettext_lazy("Alerts that still fire notify their contacts now."),
        permission=_RESPOND,
        takes_reason=True,
        is_offered=lambda silence: not silence.ended_by,
    )
    def end(self, request: HttpRequest, silence: AlertSilence, reason: str) -> str:
        config.end_silence(silence, reason=reason)
        return gettext("The silence has ended.")


@admin.register(AlertMessage, site=console_site)
class AlertMessageAdmin(KeysetAdmin):
    """Admin page of messages, newest first, with the result of their delivery."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("contact", "what", "state", "attempt", "status", "error", "created_at", "sent_at")
    list_filter = ("state", "what")
    list_select_related = ("contact",)
    fields = ("contact", "what", "state", "due_at", "attempt", "status", "error", "created_at", "sent_at", "job")
    readonly_fields = ("job",)
    empty_title = gettext_lazy("No messages yet")
    empty_text = gettext_lazy("Each message about alerts is listed here with its result, for ninety days.")

    @admin.display(description=gettext_lazy("Job"))
    def job(self, message: AlertMessage) -> SafeString | str:
        # The jobs belong to a tenant of the platform.
        return job_link(message.job_id if message.tenant_id is None else None)
