"""Admin pages of webhooks and of their delivery attempts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from scheduling.subscriptions.registry import JOB_EVENTS, MAX_FILTER_CHARACTERS
from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.keyset import KeysetAdmin
from tenants.console.post_actions import post_action
from tenants.console.shown_secret import show_secret
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from workloads.webhooks.models import Delivery, Webhook
from workloads.webhooks.service import (
    EDITABLE_FIELDS,
    ShownSecret,
    check_values,
    create_webhook,
    delete_webhook,
    rotate_secret,
    try_webhook,
    update_webhook,
)


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a webhook: its name, URL, events and job filter."""

    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events of jobs"),
        choices=[(name, name) for name in JOB_EVENTS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=gettext_lazy(
            "Events of the tenant's jobs that it receives from now on. Without any, only those of batches that name it."
        ),
    )
    job_filter = forms.CharField(
        label=gettext_lazy("Job filter"),
        required=False,
        max_length=MAX_FILTER_CHARACTERS,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("A filter such as kind:noop tag:night; empty: all jobs."),
    )

    class Meta:
        model = Webhook
        fields = EDITABLE_FIELDS
        widgets = {"url": UnfoldAdminTextInputWidget()}

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in EDITABLE_FIELDS:
            if name in values:
                try:
                    values |= check_values({name: values[name]})
                except DomainError as refusal:
                    self.add_error(name, refusal.detail)
        return values


@admin.register(Webhook, site=console_site)
class WebhookAdmin(TenantScopedAdmin):
    """Admin page of webhooks. A webhook's secret is shown once, in the response that creates or replaces it."""

    view_permission = Permission.TENANT_VIEW
    add_permission = change_permission = Permission.WEBHOOKS_MANAGE
    form = WebhookForm
    list_display = ("name", "url", "shown_events", "created_at", "rotated_at")
    search_fields = ("name",)
    ordering = ("-id",)
    empty_title = gettext_lazy("No webhooks yet")
    empty_text = gettext_lazy(
        "The platform sends a signed request to the URL of a webhook when something happens, such as the end of a job."
    )
    hidden_fields = frozenset({"sealed_secret", "previous_sealed_secret"})
    readonly_fields = ("deliveries", "rotated_at", "created_at")
    post_actions = ("try_it", "rotate", "delete")

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        if obj is not None:
            return (*EDITABLE_FIELDS, "deliveries", "created_at", "rotated_at")
        return ("tenant", *EDITABLE_FIELDS) if self.access(request).tenant is None else EDITABLE_FIELDS

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in EDITABLE_FIELDS}
        if change:
            update_webhook(webhook_id=obj.pk, changes=values)
            return
        tenant = self.access(request).tenant or form.cleaned_data["tenant"]
        shown = create_webhook(tenant=tenant, **values)
        obj.pk = shown.webhook.pk
        request.shown_secret = shown  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        return self._show(request, request.shown_secret)  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("Events"))
    def shown_events(self, webhook: Webhook) -> str:
        return ", ".join(webhook.events)

    @admin.display(description=gettext_lazy("Deliveries"))
    def deliveries(self, webhook: Webhook) -> SafeString:
        url = f"{reverse('admin:webhooks_delivery_changelist')}?webhook__id__exact={webhook.pk}"
        return format_html('<a class="console-link" href="{}">{}</a>', url, gettext("Show deliveries"))

    @post_action(label=gettext_lazy("Send a test"), permission=Permission.JOBS_SUBMIT)
    def try_it(self, request: HttpRequest, webhook: Webhook, reason: str) -> str:
        return gettext("A test delivery was submitted as the job %(value)s.") % {"value": try_webhook(webhook=webhook)}

    @post_action(
        label=gettext_lazy("New secret"),
        consequence=gettext_lazy("A new secret is shown once; requests are signed with it from now on."),
        permission=Permission.WEBHOOKS_MANAGE,
        asks_reason=True,
    )
    def rotate(self, request: HttpRequest, webhook: Webhook, reason: str) -> HttpResponse:
        return self._show(request, rotate_secret(webhook_id=webhook.pk, reason=reason))

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("No further request is sent to its URL."),
        permission=Permission.WEBHOOKS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, webhook: Webhook, reason: str) -> HttpResponse:
        delete_webhook(webhook=webhook, reason=reason)
        self.message_user(request, gettext("%(webhook)s is deleted.") % {"webhook": webhook})
        return HttpResponseRedirect(reverse("admin:webhooks_webhook_changelist"))

    def _show(self, request: HttpRequest, shown: ShownSecret) -> HttpResponse:
        text = gettext("Copy the secret now; it verifies the deliveries. It is not shown again.")
        url = reverse("admin:webhooks_webhook_change", args=[shown.webhook.pk])
        return show_secret(request, name=shown.webhook.name, secret=shown.secret, text=text, url=url)


@admin.register(Delivery, site=console_site)
class DeliveryAdmin(KeysetAdmin):
    """Admin page of delivery attempts, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("event", "webhook", "attempt", "status", "error", "seconds", "created_at")
    list_filter = ("webhook",)
    list_select_related = ("webhook",)
    empty_title = gettext_lazy("No deliveries yet")
    empty_text = gettext_lazy("Each delivery attempt is listed here with its response, for thirty days.")
    fields = ("webhook", "event", "job", "attempt", "status", "error", "answer", "seconds", "created_at")
    readonly_fields = ("job",)

    @admin.display(description=gettext_lazy("Job"))
    def job(self, delivery: Delivery) -> SafeString:
        url = reverse("admin:scheduling_job_change", args=[delivery.job_id])
        return format_html('<a class="console-link" href="{}">{}</a>', url, delivery.job_id)
