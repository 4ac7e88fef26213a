"""Command that runs all checks of the platform's operation."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.diagnosis.service import Health, diagnose


class Command(BaseCommand):
    # It reports faults itself, and must also run if the start-up checks fail.
    requires_system_checks: list[str] = []
    help = (
        "Check database, role, migrations, broker, dispatcher, beat, workers, canaries and clocks; exit status 1 if any"
        " fails. Warnings do not fail."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the checks as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        diagnosis = diagnose()
        if options["json"]:
            facts = {"state": diagnosis.state, "checks": [asdict(check) for check in diagnosis.checks]}
            self.stdout.write(json.dumps(facts))
        else:
            for check in diagnosis.checks:
                self.stdout.write(f"{check.state.value:8}{check.name}: {check.measured}")
                if check.hint:
                    self.stdout.write(f"{'':8}{check.hint}")
        failed = [check.name for check in diagnosis.checks if check.state is Health.FAILURE]
        if failed:
            raise CommandError(f"Failed: {', '.join(failed)}.")
