"""Command that simulates the order of dispatch on a workload file; it needs no running platform."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.measures import measure_workload
from scheduling.fairness.lab.report import describe, render_table
from scheduling.fairness.lab.share_plot import draw_shares
from scheduling.fairness.lab.workload import TooManyJobsError
from scheduling.fairness.lab.workload_file import WorkloadInvalidError, load_workload

BAD_FILE = 2


class Command(BaseCommand):
    # It uses neither the database nor the broker, and runs while both are unavailable.
    requires_system_checks: list[str] = []
    help = (
        "Simulate a workload file under one or several policies and print shares, waits and use of the "
        "slots. Needs no database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "workload", type=Path, metavar="WORKLOAD.toml", help="workload file; see docs/how-to/simulation.md"
        )
        policies = [policy.value for policy in OrderPolicy]
        parser.add_argument(
            "--policy", action="append", choices=policies, help="policy, instead of the file's; may be repeated"
        )
        parser.add_argument("--slots", type=int, metavar="N", help="instead of the file's")
        parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
        parser.add_argument("--plot", type=Path, metavar="OUT.svg", help="draw the shares over time")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["slots"] is not None and not 1 <= options["slots"] <= 10_000:
            raise CommandError("--slots must be from 1 to 10,000", returncode=BAD_FILE)
        try:
            workload = load_workload(options["workload"])
            measures = measure_workload(
                workload, policies=[OrderPolicy(name) for name in options["policy"] or ()], slots=options["slots"]
            )
        except WorkloadInvalidError as error:
            raise CommandError(
                f"{options['workload']} is not a valid workload file.\n{error}", returncode=BAD_FILE
            ) from error
        except TooManyJobsError as error:
            raise CommandError(f"{options['workload']}: {error}", returncode=BAD_FILE) from error
        slots = options["slots"] or workload.slots
        if options["plot"]:
            self._draw(options["plot"], draw_shares(workload.title, measures))
        if options["json"]:
            self.stdout.write(json.dumps(describe(workload, measures, slots=slots), ensure_ascii=False, indent=1))
        else:
            self.stdout.write("\n".join(render_table(workload, measures, slots=slots)))

    def _draw(self, path: Path, picture: str) -> None:
        try:
            path.write_text(picture, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}", returncode=BAD_FILE) from error
