"""Base class of the management commands that pause, drain or resume a queue, kind, tenant, pool or worker."""

from __future__ import annotations

from abc import abstractmethod
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from scheduling.fleet.queries import list_workers
from scheduling.models import Worker
from scheduling.stops.queries import TargetState, read_target_state
from scheduling.stops.service import StopScope, check_target
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand

SCOPES = [scope.value for scope in StopScope]
WORKER = "worker"


class TargetCommand(PlatformCommand):
    """Management command that changes a target and then prints the target's state."""

    scopes = SCOPES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("target", choices=self.scopes, help="type of the target")
        parser.add_argument("name", help="its name; a tenant's slug; a worker's id or HOSTNAME:PID")

    def handle(self, *args: Any, **options: Any) -> None:
        self.act(options)
        self.report(options)

    @abstractmethod
    def act(self, options: dict[str, Any]) -> None:
        """Change the target by calling its service."""

    def report(self, options: dict[str, Any]) -> None:
        """Print the state of the target, as JSON with `--json`."""
        if options["target"] == WORKER:
            worker = find_worker(options["name"])
            facts = {"id": str(worker.pk), "status": worker.status, "running": worker.running}  # type: ignore[attr-defined]
            text = f"Worker {worker} is {worker.status}; it runs {facts['running']} jobs."
        else:
            state = read_state(options["target"], options["name"])
            facts, text = asdict(state), describe(options["target"], state)
        self.show(options, facts, text)


def add_stop_arguments(parser: ArgumentParser) -> None:
    """Add the arguments `--reason` and `--until`."""
    parser.add_argument("--reason", required=True, help="reason, shown on pages and kept in the audit log")
    parser.add_argument("--until", type=moment, help="when it ends by itself, such as 2026-01-31T09:30:00Z")


def read_state(scope: str, name: str) -> TargetState:
    """Return the state of a target over all tenants; raise TargetNotFoundError if there is none."""
    with all_tenants():
        if scope != StopScope.KIND:  # a kind of a removed plug-in may still be paused
            check_target(scope=StopScope(scope), name=name)
        return read_target_state(scope=scope, name=name, now=read_moment())


def find_worker(name: str) -> Worker:
    """Return the worker with this id or `HOSTNAME:PID`, the newest if there are several; raise CommandError if none."""
    with all_tenants():
        for worker in list_workers().order_by("-started_at"):
            if name in (str(worker.pk), str(worker)):
                return worker
    raise CommandError(f"There is no worker {name!r}.")


def describe(scope: str, state: TargetState) -> str:
    """Return an English sentence about a target's state."""
    parts = []
    if state.pause is not None:
        parts.append(f"is paused{_ends(state.pause.until)}: {state.pause.reason}")
    if state.drain is not None and state.progress is not None:
        done = " and has drained" if state.drain.drained_at else ""
        eta = "" if state.progress.eta_seconds is None else f", about {state.progress.eta_seconds:,.0f} s left"
        parts.append(
            f"is draining{_ends(state.drain.until)}{done}: {state.drain.reason}"
            f" ({state.progress.waiting:,} waiting, {state.progress.in_flight:,} in flight,"
            f" {state.progress.per_minute:,.1f} a minute{eta})"
        )
    return f"The {scope} {state.name} {'; it '.join(parts) or 'is neither paused nor draining'}."


def _ends(until: datetime | None) -> str:
    return f" until {until.isoformat(timespec='seconds')}" if until else ""
