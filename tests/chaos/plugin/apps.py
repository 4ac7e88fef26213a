"""App of the plug-in."""

from __future__ import annotations

import os
from dataclasses import replace

from django.apps import AppConfig

from tests.chaos.variables import LISTS_VARIABLE

LONG_LIST_US = 500_000


class ChaosConfig(AppConfig):
    """Plug-in with kinds whose effects are counted."""

    name = "tests.chaos.plugin"
    label = "chaos"
    processors = (
        "tests.chaos.plugin.processor.StepsProcessor",
        "tests.chaos.plugin.processor.SmallProcessor",
        "tests.chaos.plugin.processor.KillerProcessor",
        "tests.chaos.plugin.processor.ProberProcessor",
        "tests.chaos.plugin.processor.HolderProcessor",
        "tests.chaos.plugin.litter.LitterProcessor",
        "tests.chaos.plugin.waiting.PatientProcessor",
        "tests.chaos.plugin.waiting.WaitingProcessor",
    )

    def ready(self) -> None:
        from tests.chaos.plugin.crash_points import arm

        arm()
        if os.environ.get(LISTS_VARIABLE):
            from scheduling.dispatch import read

            read.MERGING = replace(read.MERGING, list_us=LONG_LIST_US)
