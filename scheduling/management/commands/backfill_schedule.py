"""Command that submits the jobs of a schedule for past times that have none."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from scheduling.schedules.commands import schedule_id, schedule_scope
from scheduling.schedules.runs import Backfill, backfill_schedule
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Submit a job for each time of a span that has none; exit status 1 if any is refused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("schedule", type=schedule_id, metavar="ID", help="list_schedules shows the ids")
        parser.add_argument("--from", dest="since", type=moment, required=True, metavar="TIME", help="inclusive")
        parser.add_argument("--to", dest="until", type=moment, required=True, metavar="TIME", help="inclusive")
        parser.add_argument("--reason", default="", help="kept in the audit log")
        parser.add_argument("--dry-run", action="store_true", help="list the times; submit nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        with schedule_scope(options["schedule"]) as schedule:
            done = backfill_schedule(
                schedule_id=schedule.pk,
                since=options["since"],
                until=options["until"],
                is_dry_run=options["dry_run"],
                reason=options["reason"],
            )
        self.show(options, _facts(done, is_dry_run=options["dry_run"]), _text(done, is_dry_run=options["dry_run"]))
        if done.refused:
            raise CommandError(f"{len(done.refused)} times were refused, the first with {done.refused[0][1]}")


def _facts(done: Backfill, *, is_dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry_run,
        "fire_times": [time.isoformat() for time in done.times],
        "skipped": done.skipped,
        "submitted": done.submitted,
        "refused": [{"fire_time": time.isoformat(), "reason": reason} for time, reason in done.refused],
    }


def _text(done: Backfill, *, is_dry_run: bool) -> str:
    skipped = f"{done.skipped} had their jobs already."
    if not is_dry_run:
        return f"{done.submitted} submitted, {skipped}"
    return "\n".join([*(time.isoformat() for time in done.times), f"{len(done.times)} would be submitted, {skipped}"])
