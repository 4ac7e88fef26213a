"""Command that overrides the controls that hold a job."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from scheduling.controls.holds import held_by
from scheduling.controls.service import override_controls
from scheduling.jobs.queries import get_job
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Release a job that controls hold; it stays exempt from these controls. The reason is in the audit log."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=UUID, metavar="ID", help="the job's id")
        parser.add_argument("--reason", required=True, help="why it may run")
        parser.add_argument("--dry-run", action="store_true", help="only show which controls hold it")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            job = get_job(options["job"])
            names = [str(one["name"]) for one in held_by(job.pk)]
            if not options["dry_run"]:
                job = override_controls(job_id=job.pk, reason=options["reason"])
        facts = {"id": str(job.pk), "state": job.state, "controls": names}
        self.show(options, facts, f"Controls: {', '.join(names) or 'none'}. The job is {job.state}.")
