"""Console pages of the inbox: triggers, and received events."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.filters import TenantFilter
from scheduling.console.links import job_link
from scheduling.inbox.service import EVENT_TRIGGERS
from scheduling.models import EventTrigger, InboxEvent
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site


@admin.register(EventTrigger, site=console_site)
class EventTriggerAdmin(ConfiguredAdmin):
    """Admin page of event triggers."""

    configured = EVENT_TRIGGERS
    add_permission = change_permission = Permission.SCHEDULES_MANAGE
    list_display = ("name", "topic", "kind", "template", "is_enabled")
    list_filter = (TenantFilter,)
    empty_title = gettext_lazy("No event triggers yet")
    empty_text = gettext_lazy("A trigger starts a job for each event of a topic that another system sends.")

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("Events of its topic start no job of it any more."),
        permission=Permission.SCHEDULES_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: EventTrigger, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)


@admin.register(InboxEvent, site=console_site)
class InboxEventAdmin(KeysetAdmin):
    """Admin page of received events, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("source", "topic", "event_id", "started", "received_at")
    list_filter = (TenantFilter,)
    fields = ("source", "topic", "event_id", "started", "received_at")
    readonly_fields = ("started",)
    empty_title = gettext_lazy("No events yet")
    empty_text = gettext_lazy("Events that other systems send to the API are listed here for seven days.")

    @admin.display(description=gettext_lazy("Jobs"))
    def started(self, event: InboxEvent) -> SafeString | str:
        return format_html_join(", ", "{}", ((job_link(job_id),) for job_id in event.jobs)) or "–"
