"""Command that runs upkeep tasks in its own process, independently of Celery beat."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.models import UpkeepRun
from scheduling.upkeep import registry
from scheduling.upkeep.runs import RUN_SECONDS, run_upkeep
from scheduling.upkeep.status import read_upkeep
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import acting_as, all_tenants, command_actor
from tenants.exceptions import DomainError
from tenants.management.arguments import positive


class Command(BaseCommand):
    requires_system_checks = ()
    help = "Run one upkeep task, or all in turn, each within a time limit; exit status 1 if one fails."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="the task")
        parser.add_argument("--all", action="store_true", help="run every task, one after another")
        parser.add_argument("--list", action="store_true", help="only list each task with its last result")
        parser.add_argument(
            "--seconds", type=positive, default=int(RUN_SECONDS), help="time limit of each run (default: %(default)s)"
        )
        parser.add_argument("--json", action="store_true", help="print the facts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if sum((bool(options["name"]), options["all"], options["list"])) != 1:
            raise CommandError("Pass the name of one task, --all or --list.")
        if options["list"]:
            self._list(as_json=options["json"])
            return
        names = [task.name for task in registry.tasks()] if options["all"] else [options["name"]]
        runs = [self._run(name, options["seconds"]) for name in names]
        with all_tenants(), acting_as(command_actor("run_upkeep")):
            ran = {run.name: run.outcome for run in runs}
            record_audit(action="upkeep.run", target=AuditTarget("scheduling.upkeep", options["name"] or ""), after=ran)
        if options["json"]:
            self.stdout.write(json.dumps([facts_of(run) for run in runs]))
        else:
            for run in runs:
                self.stdout.write(f"{run.name}: {run.get_outcome_display()}. {json.dumps(run.counts)}")
        bad = [run for run in runs if run.outcome == UpkeepRun.Outcome.FAILED]
        if bad:
            raise CommandError("\n".join(f"{run.name}: {run.error or ' '.join(_findings_of(run))}" for run in bad))

    def _run(self, name: str, seconds: int) -> UpkeepRun:
        try:
            return run_upkeep(name=name, seconds=float(seconds))
        except DomainError as refusal:
            raise CommandError(f"{refusal.code}: {refusal.detail}") from refusal

    def _list(self, *, as_json: bool) -> None:
        lines = read_upkeep()
        if as_json:
            facts = [
                {
                    "name": line.task.name,
                    "interval_seconds": line.interval.total_seconds(),
                    "is_enabled": line.is_enabled,
                    "is_overdue": line.is_overdue,
                    "last_run": None if line.last is None else facts_of(line.last),
                }
                for line in lines
            ]
            self.stdout.write(json.dumps(facts))
            return
        for line in lines:
            run = line.last
            last = "never ran" if run is None else f"{run.outcome} at {run.started_at:%Y-%m-%d %H:%M:%S}"
            self.stdout.write(f"{line.task.name:24} {last}{', overdue' if line.is_overdue else ''}")


def facts_of(run: UpkeepRun) -> dict[str, Any]:
    """Return a run as JSON data."""
    return {
        "name": run.name,
        "outcome": run.outcome,
        "counts": run.counts,
        "findings": _findings_of(run),
        "error": run.error,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }


def _findings_of(run: UpkeepRun) -> list[str]:
    return [str(sentence) for sentence in run.sentences]
