"""Command that submits the job of a schedule now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.schedules.commands import schedule_id, schedule_scope
from scheduling.schedules.runs import run_schedule_now
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Submit a schedule's job at once, even beside another run or if the schedule is paused; print the job's id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("schedule", type=schedule_id, metavar="ID", help="list_schedules shows the ids")
        parser.add_argument("--reason", default="", help="kept in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        with schedule_scope(options["schedule"]) as schedule:
            fire = run_schedule_now(schedule_id=schedule.pk, reason=options["reason"])
        facts = {"schedule": str(schedule.pk), "fire_time": fire.fire_time.isoformat(), "job": str(fire.job_id)}
        self.show(options, facts, facts["job"])
