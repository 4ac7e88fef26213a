"""The kind `http_call` as an app in place."""

from __future__ import annotations

from django.apps import AppConfig


class HttpCallConfig(AppConfig):
    """Calls a URL on behalf of a tenant."""

    name = "scheduling.processors.http_call"
    label = "http_call"
    verbose_name = "HTTP calls"
    processors = ("scheduling.processors.http_call.processor.HttpCall",)
