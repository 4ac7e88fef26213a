"""Command that lists the work that a promotion has lost."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduling.sites.compare import LostJob, find_lost
from tenants.management.arguments import positive
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "List the jobs with changes that the old site committed and that were not replicated before the promotion. "
        "Both databases are only read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--old", required=True, metavar="URL", help="database of the old site, with the login of DATABASE_URL there"
        )
        parser.add_argument(
            "--minutes",
            type=positive,
            help="search the last minutes (default: from ten minutes before the last transaction that was replicated)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        minutes = options["minutes"]
        since = datetime.now(UTC) - timedelta(minutes=minutes) if minutes else None
        lost = find_lost(options["old"], since=since)
        facts = [{**asdict(job), "has_run": job.has_run} for job in lost]
        missing, run = sum(not job.new_state for job in lost), sum(job.has_run for job in lost)
        summary = (
            f"{len(lost)} jobs have lost changes: {missing} are missing here, {run} were started by a lost change."
        )
        self.show(options, facts, "\n".join([*map(_line, lost), summary]))


def _line(job: LostJob) -> str:
    here = job.new_state or "missing"
    return f"{job.id}  {job.tenant:20} {job.kind:20} {job.old_state:10} here {here:10} lost: {', '.join(job.events)}"
