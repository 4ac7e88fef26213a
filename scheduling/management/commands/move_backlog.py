"""Move what waits to the queues that routing names by now, and say how far that is."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.models import BacklogMove
from scheduling.services.backlog import move_backlog
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError

SHOWN_MOVES = 10


class Command(BaseCommand):
    help = "With --reason, have the dispatchers move what waits to where the rules send it by now; then list the moves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", default="", help="why; without it nothing is begun")
        parser.add_argument("--json", action="store_true", help="print the moves as JSON, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reason"]:
            try:
                with acting_as(command_actor("move_backlog")):
                    move_backlog(reason=options["reason"])
            except DomainError as refusal:
                raise CommandError(f"{refusal.code}: {refusal.detail}") from refusal
        for move in BacklogMove.objects.all()[:SHOWN_MOVES]:
            facts = _facts(move)
            self.stdout.write(json.dumps(facts, ensure_ascii=False) if options["json"] else _line(facts))


def _facts(move: BacklogMove) -> dict[str, Any]:
    return {
        "id": str(move.pk),
        "cause": move.cause,
        "requested_by": move.requested_by,
        "requested_at": move.requested_at.isoformat(),
        "is_open": move.is_open,
        "phase": move.phase,
        "passes": move.passes,
        "looked_at": move.looked_at,
        "moved": move.moved,
        "finished_at": None if move.finished_at is None else move.finished_at.isoformat(),
    }


def _line(facts: dict[str, Any]) -> str:
    state = f"looks at {facts['phase']} jobs, pass {facts['passes'] + 1}" if facts["is_open"] else "done"
    return f"{facts['requested_at']} {facts['cause']}: {state}, {facts['moved']:,} moved of {facts['looked_at']:,} seen"
