"""Command that starts a reroute of waiting jobs, and lists the last reroutes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.bulk.queries import find_operations
from scheduling.bulk.reroute import start_reroute
from scheduling.models import BulkOperation
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand

SHOWN = 10


class Command(PlatformCommand):
    help = "With --reason, move waiting jobs to the queues of the current routing; then list the last moves."
    json_help = "print the moves as JSON, one object a line"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", default="", help="reason, for the audit log; without it no move is started")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            if options["reason"]:
                start_reroute(reason=options["reason"])
            rows = list(find_operations().filter(operation=BulkOperation.Operation.REROUTE)[:SHOWN])
        for row in rows:
            self.show(options, _facts(row), _line(row))


def _facts(row: BulkOperation) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "reason": row.reason,
        "requested_by": row.actor_label or row.actor_id,
        "requested_at": row.created_at.isoformat(),
        "state": row.state,
        "phase": row.position.get("phase", "ready"),
        "passes": row.position.get("passes", 0),
        "seen": row.seen,
        "moved": row.changed,
        "finished_at": None if row.finished_at is None else row.finished_at.isoformat(),
    }


def _line(row: BulkOperation) -> str:
    return f"{row.created_at.isoformat()} {row.reason}: {row.state}, {row.changed:,} moved of {row.seen:,} seen"
