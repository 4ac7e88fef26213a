"""The Django app of the job kind `http_call`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class HttpCallConfig(AppConfig):
    """App configuration of the job kind `http_call`, which calls a URL for a tenant."""

    name = "workloads.http_call"
    label = "http_call"
    verbose_name = gettext_lazy("HTTP calls")
    processors = ("workloads.http_call.processor.HttpCall",)
