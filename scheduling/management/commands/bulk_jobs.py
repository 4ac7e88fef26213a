"""Do one thing to all the jobs of a filter, as a bulk operation that dispatchers take turns of."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from scheduling.models import BulkOperation
from scheduling.selectors.bulk import get_operation
from scheduling.selectors.bulk_effect import EFFECT_NOTES, WaitLine
from scheduling.services.bulk.starting import BulkPlan, plan_bulk_operation, start_bulk_operation
from tenants.context import Scope, acting_as, command_actor, scope_context
from tenants.exceptions import DomainError
from tenants.selectors.tenants import find_tenant

POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = (
        "Cancel, retry, requeue, discard, re-prioritise or move all jobs of a filter, such as"
        ' `bulk_jobs "state:discarded queue:pipeline age:>1h" requeue --tenant acme --reason "the API is back"`.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("filter", help="which jobs, in the words of the console's query box")
        parser.add_argument("operation", choices=BulkOperation.Operation.values)
        parser.add_argument("--tenant", metavar="SLUG", help="whose jobs; by default those of all tenants")
        parser.add_argument("--priority", type=int, help="for reprioritise")
        parser.add_argument("--queue", help="for move_queue")
        parser.add_argument("--reason", default="", help="why, for the audit log; needed unless --dry-run")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--yes-number",
            type=int,
            metavar="N",
            help="how many jobs match: needed above 1,000, or where they are of several tenants",
        )
        parser.add_argument("--wait", action="store_true", help="until it has ended; exit status 1 if it failed")
        parser.add_argument("--wait-seconds", type=float, default=3_600.0, help="at most so long (%(default)s)")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = {
            "filter_text": options["filter"],
            "operation": options["operation"],
            "parameters": {name: options[name] for name in ("priority", "queue") if options[name] is not None},
        }
        try:
            scope = Scope(tenant_id=find_tenant(options["tenant"]).pk if options["tenant"] else None)
            with acting_as(command_actor("bulk_jobs")):
                if options["dry_run"]:
                    with scope_context(scope):
                        self._print(_describe_plan(plan_bulk_operation(**asked)), options)
                    return
                with scope_context(scope):
                    operation = start_bulk_operation(**asked, reason=options["reason"], number=options["yes_number"])
        except DomainError as refusal:
            raise CommandError(refusal.detail) from refusal
        if options["wait"]:
            operation = _wait(operation.pk, scope, options["wait_seconds"])
        self._print(_describe(operation), options)
        if operation.state == BulkOperation.State.FAILED or (options["wait"] and operation.is_open):
            raise CommandError(operation.error or f"It is still {operation.state}.")

    def _print(self, outcome: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(outcome, ensure_ascii=False))
            return
        for name, value in outcome.items():
            if value not in ({}, [], "", None):
                self.stdout.write(f"{name.replace('_', ' ')}: {_words(value)}")


def _wait(operation_id: UUID, scope: Scope, seconds: float) -> BulkOperation:
    until = time.monotonic() + seconds
    while True:
        with scope_context(scope):
            operation = get_operation(operation_id)
        if not operation.is_open or time.monotonic() > until:
            return operation
        time.sleep(POLL_SECONDS)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _describe_plan(plan: BulkPlan) -> dict[str, Any]:
    preview = plan.preview
    return {
        "words": preview.words,
        "would_act_on": preview.eligible,
        "matching": preview.count.value,
        "or_more": preview.count.is_capped,
        "ineligible": dict(preview.ineligible),
        "by_state": dict(preview.by_state),
        "by_queue": dict(preview.by_queue),
        "needs_number": plan.needs_number,
        "sample": [str(job.pk) for job in preview.sample],
        "waits": [_describe_wait(line) for line in plan.effect.lines],
        "notes": [EFFECT_NOTES[code] for code in plan.effect.notes],
    }


def _describe_wait(line: WaitLine) -> str:
    """A tenant's wait now and after, such as `acme in default 12.0 s → 40.5 s`."""
    now, after = (
        "for ever" if seconds is None else f"{seconds:,.1f} s" for seconds in (line.now_seconds, line.after_seconds)
    )
    return f"{line.tenant} in {line.pool} {now} → {after}"


def _describe(operation: BulkOperation) -> dict[str, Any]:
    return {
        "id": str(operation.pk),
        "operation": operation.operation,
        "filter": operation.filter,
        "state": operation.state,
        "expected": operation.expected,
        "seen": operation.seen,
        "changed": operation.changed,
        "ineligible": operation.ineligible,
        "error": operation.error,
    }
