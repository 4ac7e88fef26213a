"""The Django app of webhook triggers."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class TriggersConfig(AppConfig):
    """App configuration of webhook triggers, with their API and console pages."""

    name = "workloads.triggers"
    label = "triggers"
    verbose_name = gettext_lazy("Webhook triggers")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "workloads.triggers.api.urls"
