"""The Django app of the job kind `send_mail`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class MailConfig(AppConfig):
    """App configuration of the job kind `send_mail`, with its tenant setting."""

    name = "workloads.mail"
    label = "mail"
    verbose_name = gettext_lazy("Mail")
    processors = ("workloads.mail.processor.SendMail",)
    tenant_settings = "workloads.mail.tenant_settings:SETTINGS"
