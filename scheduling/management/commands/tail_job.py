"""Command that prints the log of a job, and optionally follows it until the job ends."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from scheduling.execution.logs.queries import format_line, read_log
from scheduling.execution.logs.service import LEVELS
from scheduling.jobs.queries import get_job
from scheduling.models import Job, JobLog
from tenants.context import all_tenants, tenant_context
from tenants.management.base import PlatformCommand

POLL_SECONDS = 0.5
CHUNK_LINES = 500


class Command(PlatformCommand):
    help = "Print a job's log, oldest first; with --follow until the job has ended."
    json_help = "print each line as a JSON object"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=UUID, metavar="ID", help="the job's id")
        parser.add_argument("--follow", action="store_true", help="print new lines until the job has ended")
        parser.add_argument("--level", choices=list(LEVELS), default="debug", help="lowest level to print")

    def handle(self, *args: Any, **options: Any) -> None:
        job = find_job(options["job"])
        self._print_all(job, options)

    def _print_all(self, job: Job, options: dict[str, Any]) -> None:
        after: UUID | None = None
        while True:
            with tenant_context(job.tenant_id):
                # The state is read first: log lines are stored before their job ends.
                job = get_job(job.id)
                page = read_log(job, after=after, level=LEVELS[options["level"]], limit=CHUNK_LINES)
            for line in page.lines:
                self.stdout.write(as_json(line) if options["json"] else format_line(line))
                after = line.id
            if page.has_more:
                continue
            if job.is_terminal or not options["follow"]:
                return
            self.stdout.flush()
            time.sleep(POLL_SECONDS)


def find_job(job_id: UUID) -> Job:
    """Return the job with this id, whichever tenant it belongs to; raise JobNotFoundError if there is none."""
    with all_tenants():
        return get_job(job_id)


def as_json(line: JobLog) -> str:
    """Return a log line as JSON, with the fields that the API returns."""
    facts = {
        "id": str(line.id),
        "at": line.at.isoformat(),
        "level": line.get_level_display(),
        "message": line.message,
        "fields": line.fields,
        "execution": str(line.execution_id),
        "attempt": line.attempt,
    }
    return json.dumps(facts, ensure_ascii=False)
