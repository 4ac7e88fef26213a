"""Console pages of the outbox: routes, and messages with the retry of those that were given up."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.filters import TenantFilter
from scheduling.console.links import job_link
from scheduling.models import OutboxMessage, OutboxRoute
from scheduling.outbox.adapters import adapters
from scheduling.outbox.service import OUTBOX_ROUTES, RETRYABLE, retry_message
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site


@admin.register(OutboxRoute, site=console_site)
class OutboxRouteAdmin(ConfiguredAdmin):
    """Admin page of the outbox's routes."""

    configured = OUTBOX_ROUTES
    add_permission = change_permission = Permission.WEBHOOKS_MANAGE
    list_display = ("name", "topic", "adapter", "target", "is_enabled")
    list_filter = (TenantFilter,)
    empty_title = gettext_lazy("No outbox routes yet")
    empty_text = gettext_lazy("A route delivers the messages that jobs emit on a topic to a webhook or a stream.")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "adapter":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.ChoiceField(
            label=db_field.verbose_name,
            choices=[(name, name) for name in sorted(adapters())],
            widget=UnfoldAdminSelectWidget(),
        )

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("Its messages that are not yet delivered are given up."),
        permission=Permission.WEBHOOKS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: Any, reason: str) -> Any:
        return self.delete_row(request, row, reason)


@admin.register(OutboxMessage, site=console_site)
class OutboxMessageAdmin(KeysetAdmin):
    """Admin page of messages, newest first. Their contents are not shown."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("topic", "key", "route", "state", "attempt", "error", "created_at", "ended_at")
    list_filter = ("state", TenantFilter)
    list_select_related = ("route",)
    walked_filters = frozenset({"state"})
    fields = (
        "topic", "key", "route", "state", "attempt", "error", "due_at", "emitted_by", "delivered_by", "created_at",
        "ended_at",
    )  # fmt: skip
    readonly_fields = ("emitted_by", "delivered_by")
    post_actions = ("retry",)
    empty_title = gettext_lazy("No messages yet")
    empty_text = gettext_lazy("Messages that jobs emit are listed here with their state, until they are pruned.")

    @admin.display(description=gettext_lazy("Emitted by"))
    def emitted_by(self, message: OutboxMessage) -> SafeString | str:
        return job_link(message.job_id)

    @admin.display(description=gettext_lazy("Delivered by"))
    def delivered_by(self, message: OutboxMessage) -> SafeString | str:
        return job_link(message.delivery_job_id)

    @post_action(
        label=gettext_lazy("Deliver again"),
        consequence=gettext_lazy("It is sent again with the same id."),
        permission=Permission.JOBS_RETRY,
        takes_reason=True,
        is_offered=lambda message: message.state in RETRYABLE,
    )
    def retry(self, request: HttpRequest, message: OutboxMessage, reason: str) -> str:
        retry_message(message_id=message.pk, reason=reason)
        return gettext("The message is due for delivery.")
