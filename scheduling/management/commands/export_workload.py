"""Command that exports the last hour as a workload file for simulations."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.fairness.lab.workload_loads import write_workload
from scheduling.what_if.recent_load import read_recent_load
from tenants.exceptions import DomainError


class Command(BaseCommand):
    help = "Write the last hour of a pool as a workload file for simulate_fairness and what_if, without payloads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("out", type=Path, metavar="OUT.toml", help="new file")
        parser.add_argument("--pool", help="default: the one that serves most queues")
        parser.add_argument("--names", action="store_true", help="include the slugs of tenants (default: numbers)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            recent = read_recent_load(options["pool"])
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        if not recent.load.places:
            raise CommandError("Nothing to write: no jobs arrived in the last hour and none wait.")
        text = write_workload(recent.load, with_names=options["names"])
        try:
            with options["out"].open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise CommandError(f"{options['out']}: {error.strerror or error}") from error
        for note in recent.notes:
            self.stdout.write(f"Note: {note.text}")
        self.stdout.write(f"{len(recent.load.arrivals):,} jobs of {len(recent.load.tenants):,} tenants.")
