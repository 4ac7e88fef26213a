"""Base class of the management commands that run a bulk operation to its end in their own process."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import Any, ClassVar

from django.core.management.base import CommandError

from scheduling.bulk.effect import EFFECT_NOTES, WaitRow
from scheduling.bulk.queries import UNCHANGED
from scheduling.bulk.starting import BulkPlan, plan_bulk_operation, start_bulk_operation
from scheduling.bulk.turns import CHANGED_MEANWHILE, run_to_end
from scheduling.jobs.lifecycle import JobState
from scheduling.models import BulkOperation
from tenants.api.strict_json import parse_json
from tenants.context import Scope, scope_context
from tenants.exceptions import JsonInvalidError
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant

type Facts = dict[str, Any]
# Reasons that are no refusals: the job was not meant, or has the wanted value already.
_PASSED = frozenset(JobState) | {UNCHANGED, CHANGED_MEANWHILE}


class BulkCommand(PlatformCommand):
    """Management command that runs one operation for each named tenant, or one over all tenants.

    It runs all operations, then exits with status 1 if one failed or a job was refused.
    """

    # None: it is an argument of the command.
    operation: ClassVar[str | None] = None
    # Conditions added to the filter.
    condition: ClassVar[str] = ""
    parameter_names: ClassVar[Sequence[str]] = ()
    takes_patch: ClassVar[bool] = False
    json_help = "print the result as JSON, an object for each tenant"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("filter", metavar="FILTER", help='filter, such as "state:retryable age:>1h"')
        parser.add_argument(
            "--tenant", action="append", default=[], metavar="SLUG", help="may be repeated (default: all)"
        )
        parser.add_argument("--reason", default="", help="the reason, for the audit log; required unless --dry-run")
        parser.add_argument("--dry-run", action="store_true", help="print the preview; change nothing")
        parser.add_argument(
            "--yes-number",
            type=int,
            metavar="N",
            help="number of matching jobs; required above 1,000, or if they belong to several tenants",
        )
        if self.takes_patch:
            parser.add_argument(
                "--payload-patch",
                type=_read_patch,
                metavar="JSON",
                help="merged into each payload of one tenant's ended jobs (RFC 7396: null removes a member)",
            )
        parser.add_argument("--no-wait", action="store_true", help="leave the operation to the dispatchers")

    def handle(self, *args: Any, **options: Any) -> None:
        outcomes: list[Facts] = []
        try:
            outcomes.extend(self._run(slug, options) for slug in dict.fromkeys(options["tenant"]) or [None])
        finally:
            if outcomes:
                self._print(outcomes, options)
        if failed := [
            outcome["error"] or "The bulk operation has not ended." for outcome in outcomes if outcome.pop("has_failed")
        ]:
            raise CommandError(failed[0])
        if refused := sum(outcome.get("refused", 0) for outcome in outcomes):
            raise CommandError(f"{refused:,} jobs were refused.")

    def _run(self, slug: str | None, options: dict[str, Any]) -> Facts:
        scope = Scope(tenant_id=find_tenant(slug).pk if slug else None)
        asked: dict[str, Any] = {
            "filter_text": f"{options['filter']} {self.condition}".strip(),
            "operation": self.operation or options["operation"],
            "parameters": {name: options[name] for name in self.parameter_names if options[name] is not None},
            "payload_patch": options.get("payload_patch"),
        }
        with scope_context(scope):
            if options["dry_run"]:
                return {"tenant": slug, **_plan_facts(plan_bulk_operation(**asked)), "has_failed": False}
            operation = start_bulk_operation(**asked, reason=options["reason"], number=options["yes_number"])
        if not options["no_wait"]:
            operation = run_to_end(operation)
        return {"tenant": slug, **_operation_facts(operation, is_awaited=not options["no_wait"])}

    def _print(self, outcomes: list[Facts], options: dict[str, Any]) -> None:
        shown = [{name: value for name, value in outcome.items() if name != "has_failed"} for outcome in outcomes]
        lines = [
            f"{name.replace('_', ' ')}: {_words(value)}"
            for outcome in shown
            for name, value in outcome.items()
            if value not in ({}, [], "", None)
        ]
        self.show(options, shown, "\n".join(lines))


def _read_patch(text: str) -> dict[str, Any]:
    try:
        patch = parse_json(text.encode("utf-8", "surrogateescape"))
    except JsonInvalidError as error:
        raise ArgumentTypeError(error.detail) from error
    if not isinstance(patch, dict):
        raise ArgumentTypeError("It must be a JSON object.")
    return patch


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plan_facts(plan: BulkPlan) -> Facts:
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
        "waits": [_wait_words(line) for line in plan.effect.lines],
        "notes": [EFFECT_NOTES[code] for code in plan.effect.notes],
    }


def _wait_words(line: WaitRow) -> str:
    """Return a tenant's wait before and after the operation, such as `acme in default 12.0 s → 40.5 s`."""
    now, after = (
        "never starts" if seconds is None else f"{seconds:,.1f} s" for seconds in (line.now_seconds, line.after_seconds)
    )
    return f"{line.tenant} in {line.pool} {now} → {after}"


def _operation_facts(operation: BulkOperation, *, is_awaited: bool) -> Facts:
    return {
        "id": str(operation.pk),
        "operation": operation.operation,
        "filter": operation.filter,
        "state": operation.state,
        "expected": operation.expected,
        "seen": operation.seen,
        "changed": operation.changed,
        "ineligible": operation.ineligible,
        "refused": sum(count for reason, count in operation.ineligible.items() if reason not in _PASSED),
        "error": operation.error,
        "has_failed": operation.state == BulkOperation.State.FAILED or (is_awaited and operation.is_open),
    }
