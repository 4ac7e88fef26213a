"""Command that exports the last hour as a workload file for simulations."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from scheduling.fairness.lab.workload_loads import write_workload
from scheduling.what_if.recent_load import read_recent_load
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Write the last hour of a pool as a workload file for simulate_fairness and what_if, without payloads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("out", type=Path, metavar="OUT.toml", help="new file")
        parser.add_argument("--pool", help="default: the one that serves most queues")
        parser.add_argument("--names", action="store_true", help="include the slugs of tenants (default: numbers)")

    def handle(self, *args: Any, **options: Any) -> None:
        recent = read_recent_load(options["pool"])
        if not recent.load.places:
            raise CommandError("Nothing to write: no jobs arrived in the last hour and none wait.")
        text = write_workload(recent.load, with_names=options["names"])
        try:
            with options["out"].open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise CommandError(f"{options['out']}: {error.strerror or error}") from error
        jobs, tenants = len(recent.load.arrivals), len(recent.load.tenants)
        notes = [{"code": note.code, "text": str(note.text)} for note in recent.notes]
        lines = [*(f"Note: {note['text']}" for note in notes), f"{jobs:,} jobs of {tenants:,} tenants."]
        self.show(options, {"jobs": jobs, "tenants": tenants, "notes": notes}, "\n".join(lines))
