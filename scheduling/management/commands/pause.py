"""Command that pauses a queue, kind, tenant or pool."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.stops.commands import TargetCommand, add_stop_arguments
from scheduling.stops.service import StopScope, pause


class Command(TargetCommand):
    help = "Pause a queue, kind, tenant or pool: new jobs are accepted and wait, running jobs continue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_stop_arguments(parser)

    def act(self, options: dict[str, Any]) -> None:
        pause(
            scope=StopScope(options["target"]), name=options["name"], reason=options["reason"], until=options["until"]
        )
