"""The diagnostic kinds as an app in place."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DiagnosticsConfig(AppConfig):
    """Kinds that show the platform at work; those that misbehave need DIAGNOSTIC_KINDS."""

    name = "scheduling.processors.diagnostics"
    label = "diagnostics"
    verbose_name = gettext_lazy("Diagnostics")
    processors = (
        "scheduling.processors.diagnostics.processor.NoopProcessor",
        "scheduling.processors.diagnostics.processor.SleepProcessor",
        "scheduling.processors.diagnostics.processor.CrashProcessor",
        "scheduling.processors.diagnostics.processor.FailProcessor",
        "scheduling.processors.diagnostics.processor.SpinProcessor",
        "scheduling.processors.diagnostics.processor.AllocateProcessor",
    )
