"""Prove that the rollups equal a recount of history."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.services.rollup_checks import begin_recent_check, verify_rollups

DEFAULT_HOURS, MOST_HOURS = 2, 48


class Command(BaseCommand):
    help = "Recount the last whole hours of history and compare the rollups with it; exit status 1 if they differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        hours = f"how many whole hours, 1 to {MOST_HOURS} (default {DEFAULT_HOURS})"
        parser.add_argument("--hours", type=int, choices=range(1, MOST_HOURS + 1), default=DEFAULT_HOURS, help=hours)

    def handle(self, *args: Any, **options: Any) -> None:
        check = begin_recent_check(hours=options["hours"])
        if check is None:
            self.stdout.write("There is no whole hour to recount yet: counting has just begun.")
            return
        span = f"from {check.since:%Y-%m-%d %H:%M} to {check.until:%Y-%m-%d %H:%M} UTC"
        differences = verify_rollups(since=check.since, until=check.until)
        for difference in differences:
            self.stdout.write(str(difference))
        if differences:
            raise CommandError(f"{len(differences)} rows of the rollups {span} differ from history.")
        self.stdout.write(f"The rollups {span} equal a recount of history.")
