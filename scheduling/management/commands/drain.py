"""Command that drains a queue, kind, tenant, pool or worker, and optionally waits for its end."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from scheduling.fleet.workers import drain_worker
from scheduling.models import Worker
from scheduling.stops.commands import SCOPES, WORKER, TargetCommand, add_stop_arguments, find_worker, read_state
from scheduling.stops.service import StopScope, drain

LOOK_SECONDS = 0.5
TELL_SECONDS = 10.0


class Command(TargetCommand):
    help = (
        "Drain a queue, kind or tenant (it refuses new jobs), or a pool or worker (it receives no more "
        "jobs). A running dispatcher records the end."
    )
    scopes = [*SCOPES, WORKER]

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_stop_arguments(parser)
        parser.add_argument("--wait", action="store_true", help="wait until no jobs are left")

    def act(self, options: dict[str, Any]) -> None:
        if options["target"] == WORKER:
            drain_worker(worker_id=find_worker(options["name"]).pk, reason=options["reason"])
        else:
            drain(
                scope=StopScope(options["target"]),
                name=options["name"],
                reason=options["reason"],
                until=options["until"],
            )
        if options["wait"]:
            self._wait(options)

    def _wait(self, options: dict[str, Any]) -> None:
        tell_at = time.monotonic() + TELL_SECONDS
        while not self._is_over(options["target"], options["name"]):
            if time.monotonic() >= tell_at and not options["json"]:
                self.report(options)
                tell_at = time.monotonic() + TELL_SECONDS
            time.sleep(LOOK_SECONDS)

    def _is_over(self, target: str, name: str) -> bool:
        """Return whether the drain has finished: no jobs are left, or it was ended or has expired."""
        if target == WORKER:
            worker = find_worker(name)
            is_idle = worker.status == Worker.Status.DRAINING and not worker.running  # type: ignore[attr-defined]
            return is_idle or worker.status in (Worker.Status.STOPPED, Worker.Status.ONLINE)
        state = read_state(target, name)
        return state.drain is None or state.drain.drained_at is not None
