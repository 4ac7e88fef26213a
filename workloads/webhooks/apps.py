"""The Django app of webhooks and of the job kind `webhook_delivery`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class WebhooksConfig(AppConfig):
    """App configuration of webhooks and of their deliveries."""

    name = "workloads.webhooks"
    label = "webhooks"
    verbose_name = gettext_lazy("Webhooks")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("workloads.webhooks.processor.WebhookDelivery",)
    outbox_adapters = ("workloads.webhooks.outbox.WebhookAdapter",)
    api_urls = "workloads.webhooks.api.urls"
    job_subscriptions = "workloads.webhooks.subscriptions:read_subscriptions"
    upkeep_tasks = "workloads.webhooks.upkeep:TASKS"
