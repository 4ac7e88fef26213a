"""Command that ends the pause and the drain of a queue, kind, tenant, pool or worker."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.fleet.workers import resume_worker
from scheduling.stops.commands import SCOPES, WORKER, TargetCommand, find_worker
from scheduling.stops.service import StopScope, resume


class Command(TargetCommand):
    help = "End the pause and the drain of a queue, kind, tenant, pool or worker."
    scopes = [*SCOPES, WORKER]

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--reason", default="", help="the reason, for the audit log")

    def act(self, options: dict[str, Any]) -> None:
        if options["target"] == WORKER:
            resume_worker(worker_id=find_worker(options["name"]).pk, reason=options["reason"])
        else:
            resume(scope=StopScope(options["target"]), name=options["name"], reason=options["reason"])
