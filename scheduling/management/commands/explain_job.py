"""Command that explains why a job waits, with the work before it and its expected start."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any
from uuid import UUID

from scheduling.jobs.queries import get_job
from scheduling.jobs.waits.reasons import Explanation, why_waiting
from scheduling.models import Job
from scheduling.priority_rules.words import move_words
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Explain why a job waits: every reason, its place, the work before it and its expected start."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=UUID, metavar="ID", help="the job's id")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            job = get_job(options["job"])
            waiting = why_waiting(job)
        facts = {"id": str(job.pk), "state": job.state, "waiting": asdict(waiting) if waiting else None}
        self.show(options, facts, "\n".join(describe(job, waiting)))


def describe(job: Job, waiting: Explanation | None) -> list[str]:
    """Return the explanation as lines of text."""
    if waiting is None:
        return [f"The job does not wait: it is {job.state}."]
    lines = [f"{reason.code}: {reason.detail}" for reason in waiting.reasons]
    if waiting.ahead is not None:
        more = "at least " if waiting.ahead.is_more else ""
        seconds = waiting.ahead.work_us / 1_000_000
        lines.append(
            f"Position {more}{waiting.position:,} in its tenant's queue, after {seconds:,.1f} s of predicted work."
        )
    if waiting.moved is not None:
        lines.append(f"It is {move_words(waiting.moved.seconds, waiting.moved.rules)}.")
    if waiting.start is None:
        return [*lines, f"Its start is not known. {waiting.no_start_because}"]
    start = waiting.start
    band = f"{start.low_seconds:,.1f} to {start.high_seconds:,.1f} s"
    when = f"Starts in about {start.eta_seconds:,.1f} s ({band}), if no more jobs arrive"
    return [*lines, f"{when}; position about {start.pool_position:,} in its pool."]
