"""The Django app of the diagnostic job kinds."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DiagnosticsConfig(AppConfig):
    """App configuration of the diagnostic job kinds. Those that misbehave are available only with DIAGNOSTIC_KINDS."""

    name = "workloads.diagnostics"
    label = "diagnostics"
    verbose_name = gettext_lazy("Diagnostics")
    processors = (
        "workloads.diagnostics.processor.NoopProcessor",
        "workloads.diagnostics.tasks.noop_task",
        "workloads.diagnostics.processor.SleepProcessor",
        "workloads.diagnostics.processor.CrashProcessor",
        "workloads.diagnostics.processor.FailProcessor",
        "workloads.diagnostics.processor.SpinProcessor",
        "workloads.diagnostics.processor.AllocateProcessor",
    )
