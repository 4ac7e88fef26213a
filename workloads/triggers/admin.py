"""Console pages of webhook triggers and of their last deliveries."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import JSONField
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.links import job_link
from tenants.access.permissions import Permission
from tenants.console.json_fields import IndentedJSONField
from tenants.console.keyset import KeysetAdmin
from tenants.console.post_actions import post_action
from tenants.console.shown_secret import show_secret
from tenants.console.site import console_site
from workloads.triggers.example import shell_example
from workloads.triggers.models import TriggerDelivery, WebhookTrigger
from workloads.triggers.service import TRIGGERS, rotate_secret, secret_of


@admin.register(WebhookTrigger, site=console_site)
class WebhookTriggerAdmin(ConfiguredAdmin):
    """Admin page of webhook triggers. A secret is shown once, in the response that creates or replaces it."""

    configured = TRIGGERS
    add_permission = change_permission = Permission.WEBHOOKS_MANAGE
    formfield_overrides = {JSONField: {"form_class": IndentedJSONField}}
    hidden_fields = frozenset({"sealed_secret", "previous_sealed_secret"})
    list_display = ("name", "kind", "template", "workflow", "is_enabled")
    readonly_fields = ("example", "last_deliveries", "created_at", "rotated_at")
    post_actions = ("rotate", "delete")
    empty_title = gettext_lazy("No webhook triggers yet")
    empty_text = gettext_lazy("A trigger starts a job, a template or a workflow for each signed request that it gets.")

    def response_add(self, request: HttpRequest, obj: WebhookTrigger, post_url_continue: str | None = None) -> Any:
        trigger = TRIGGERS.find(obj.pk)
        return self._show(request, trigger, secret_of(trigger))

    @admin.display(description=gettext_lazy("Example"))
    def example(self, trigger: WebhookTrigger) -> SafeString:
        request: HttpRequest = trigger.request  # type: ignore[attr-defined]
        url = request.build_absolute_uri(reverse("trigger-receive", args=[trigger.pk]))
        is_github = trigger.signature == WebhookTrigger.Signature.GITHUB
        commands = shell_example(url, is_github=is_github)
        return format_html('<pre class="whitespace-pre-wrap break-all">{}</pre>', commands)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        trigger = super().get_object(request, object_id, from_field)
        if trigger is not None:
            trigger.request = request
        return trigger

    @admin.display(description=gettext_lazy("Deliveries"))
    def last_deliveries(self, trigger: WebhookTrigger) -> SafeString:
        url = f"{reverse('admin:triggers_triggerdelivery_changelist')}?trigger__id__exact={trigger.pk}"
        return format_html('<a class="console-link" href="{}">{}</a>', url, gettext("Show deliveries"))

    @post_action(
        label=gettext_lazy("New secret"),
        consequence=gettext_lazy("A new secret is shown once. For a day, the previous one is accepted too."),
        permission=Permission.WEBHOOKS_MANAGE,
        asks_reason=True,
    )
    def rotate(self, request: HttpRequest, row: WebhookTrigger, reason: str) -> HttpResponse:
        return self._show(request, *rotate_secret(trigger_id=row.pk, reason=reason))

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("Requests to its address are refused."),
        permission=Permission.WEBHOOKS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: WebhookTrigger, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)

    def _show(self, request: HttpRequest, trigger: WebhookTrigger, secret: str) -> HttpResponse:
        text = gettext("Copy the secret now; it signs the requests. It is not shown again.")
        url = reverse("admin:triggers_webhooktrigger_change", args=[trigger.pk])
        return show_secret(request, name=trigger.name, secret=secret, text=text, url=url)


@admin.register(TriggerDelivery, site=console_site)
class TriggerDeliveryAdmin(KeysetAdmin):
    """Admin page of the last deliveries to triggers, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("trigger", "status", "job", "is_duplicate", "error", "received_at")
    list_filter = ("trigger",)
    list_select_related = ("trigger",)
    fields = ("trigger", "status", "job", "is_duplicate", "error", "received_at")
    readonly_fields = ("job",)
    empty_title = gettext_lazy("No deliveries yet")
    empty_text = gettext_lazy("The last fifty signed requests to each trigger are listed here, without their bodies.")

    @admin.display(description=gettext_lazy("Job"))
    def job(self, delivery: TriggerDelivery) -> SafeString | str:
        return job_link(delivery.job_id)
