"""Show the versions of a plan or CFS plan, and go back to one."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.selectors.cfs_plans import get_cfs_plan
from scheduling.services.cfs_plans import rollback_cfs_plan, withdraw_cfs_plan_version
from tenants.context import acting_as, all_tenants, command_actor
from tenants.exceptions import DomainError
from tenants.management.arguments import moment, positive
from tenants.models import VersionFacts
from tenants.selectors.plans import get_plan, versions_of
from tenants.services.plans import rollback_plan, withdraw_plan_version

# What stands first on the line: how the plan is found, rolled back, and rid of a version that waits.
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "plan": (get_plan, rollback_plan, withdraw_plan_version),
    "cfs-plan": (get_cfs_plan, rollback_cfs_plan, withdraw_cfs_plan_version),
}


class Command(BaseCommand):
    help = "List the versions of a plan, newest first; or roll back to one, or withdraw one that waits for its time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("name", help="a plan's slug, a CFS plan's name")
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument("--rollback", type=positive, metavar="NUMBER", help="make this version's content the next")
        acts.add_argument("--withdraw", type=positive, metavar="NUMBER", help="this version shall not take effect")
        parser.add_argument("--reason", default="", help="why; needed by both")
        parser.add_argument("--effective-from", type=moment, metavar="TIME", help="of a rollback; else at once")
        parser.add_argument("--json", action="store_true", help="print the versions as JSON, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(command_actor("plan_versions")):
                plan = _act(options)
        except DomainError as refusal:
            raise CommandError(f"{refusal.code}: {refusal.detail}") from refusal
        with all_tenants():
            for row in versions_of(plan):
                facts = _facts(row, is_current=row.number == plan.version)
                self.stdout.write(json.dumps(facts, ensure_ascii=False) if options["json"] else _line(facts))


def _act(options: dict[str, Any]) -> Any:
    find, roll_back, withdraw = KINDS[options["kind"]]
    plan, reason = find(options["name"]), options["reason"]
    if options["rollback"]:
        roll_back(plan=plan, number=options["rollback"], reason=reason, effective_from=options["effective_from"])
    if options["withdraw"]:
        withdraw(plan=plan, number=options["withdraw"], reason=reason)
    plan.refresh_from_db()
    return plan


def _facts(row: VersionFacts, *, is_current: bool) -> dict[str, Any]:
    return {
        "number": row.number,
        "is_in_effect": is_current,
        "outcome": row.outcome,
        "author": row.author,
        "reason": row.reason,
        "effective_from": row.effective_from.isoformat(),
        "created_at": row.created_at.isoformat(),
        "before": row.before,
        "after": row.after,
        "content": row.content,
    }


def _line(facts: dict[str, Any]) -> str:
    state = "in effect" if facts["is_in_effect"] else facts["outcome"]
    changes = ", ".join(f"{name} {facts['before'][name]} → {value}" for name, value in facts["after"].items())
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    return f"{facts['number']} {state} from {facts['effective_from']} by {facts['author']}{reason}: {changes or '–'}"
