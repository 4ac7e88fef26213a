"""The kind `webhook_delivery` and its endpoints as an app in place."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class WebhooksConfig(AppConfig):
    """Where tenants are told what happened, and what became of each telling."""

    name = "scheduling.processors.webhook_delivery"
    label = "webhooks"
    verbose_name = gettext_lazy("Webhooks")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("scheduling.processors.webhook_delivery.processor.WebhookDelivery",)
    api_urls = "scheduling.processors.webhook_delivery.api.urls"
    job_subscriptions = "scheduling.processors.webhook_delivery.subscriptions:read_subscriptions"
    upkeep_tasks = "scheduling.processors.webhook_delivery.upkeep:TASKS"
