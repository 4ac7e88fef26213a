"""Command that makes schedules of django-celery-beat's periodic tasks."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.schedules.beat_import import move_task, plan_moves
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = (
        "Make schedules of the enabled periodic tasks of django-celery-beat that are jobs, and disable these tasks. "
        "Print each of the others with the reason why it stays."
    )
    json_help = "print one JSON object a line"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="the tenant of tasks that name none: those of a fair task")
        parser.add_argument("--dry-run", action="store_true", help="list what would move; change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        for move in plan_moves(find_tenant(options["tenant"]) if options["tenant"] else None):
            facts = {"task": move.task.name, "tenant": move.tenant and move.tenant.slug, "reason": move.reason}
            if move.reason:
                self.show(options, {**facts, "schedule": None}, f"{move.task.name}: stays. {move.reason}")
            elif options["dry_run"]:
                self.show(options, {**facts, "schedule": None}, f"{move.task.name}: would move to {facts['tenant']}")
            else:
                schedule = str(move_task(move).pk)
                self.show(options, {**facts, "schedule": schedule}, f"{move.task.name}: moved to {schedule}")
