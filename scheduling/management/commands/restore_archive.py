"""Command that restores archived jobs."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from scheduling.archive.exceptions import NotArchivedError
from scheduling.archive.service import find_object, restore_jobs
from scheduling.models import ArchiveObject
from tenants.context import all_tenants
from tenants.database.reads import first_or_raise
from tenants.management.arguments import positive
from tenants.management.base import PlatformCommand

MOST_DAYS = 3_650


class Command(PlatformCommand):
    help = (
        "Insert archived jobs again, with their dead letters, meta, notes, events, errors and log lines. Executions "
        "and charges are not restored, so that the ledger stays balanced; a job that exists is left as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--job", type=UUID, help="id of a deleted job")
        which.add_argument("--object", type=UUID, help="id of an object: all of its jobs")
        parser.add_argument("--keep-days", type=positive, default=30, help="days for which retention keeps the jobs")
        parser.add_argument("--reason", default="", help="the reason, for the audit log")
        parser.add_argument("--dry-run", action="store_true", help="verify the object, and insert nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        job_id, is_trial = options["job"], options["dry_run"]
        with all_tenants():
            stored = ArchiveObject.objects.filter(pk=options["object"]).exclude(stored_at=None)
            entry = find_object(job_id) if job_id else first_or_raise(stored, NotArchivedError)
        keep = timedelta(days=min(options["keep_days"], MOST_DAYS))
        wanted = [job_id] if job_id else entry.job_ids
        jobs = restore_jobs(entry, wanted, keep=keep, reason=options["reason"], is_trial=is_trial)
        verb = "would be" if is_trial else "were"
        text = f"{len(jobs):,} jobs {verb} restored from {entry.key}."
        self.show(options, {"object": entry.pk, "jobs": jobs, "dry_run": is_trial}, text)
