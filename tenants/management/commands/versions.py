"""Command that lists the versions of a plan, a CFS plan or another versioned object, and rolls back to one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.context import tenant_context
from tenants.management.arguments import moment, positive
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant
from tenants.versions.models import VersionFacts
from tenants.versions.queries import versions_of
from tenants.versions.registry import versioned
from tenants.versions.service import Versioned

SHOWN_CHARACTERS = 80


class Command(PlatformCommand):
    help = "List the versions of an object, newest first; roll back to one, or withdraw a scheduled one."
    json_help = "print the versions as JSON, one per line"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=list(versioned()), help="the kind of object")
        parser.add_argument("name", help="a plan's slug, the name of a CFS plan or of a workflow")
        parser.add_argument("--tenant", metavar="SLUG", help="the object's tenant; required for a workflow")
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument(
            "--rollback", type=positive, metavar="NUMBER", help="make this version's content the next version"
        )
        acts.add_argument("--withdraw", type=positive, metavar="NUMBER", help="withdraw this scheduled version")
        parser.add_argument("--reason", default="", help="why; required by both")
        parser.add_argument("--effective-from", type=moment, metavar="TIME", help="for a rollback; default: at once")

    def handle(self, *args: Any, **options: Any) -> None:
        kind = versioned()[options["kind"]]
        row = _find(kind, options)
        _act(kind, row, options)
        with kind.scope(row):
            row.refresh_from_db()
            for version in versions_of(row):
                facts = _facts(version, is_current=version.number == row.version)
                self.show(options, facts, _line(facts))


def _find(kind: Versioned[Any], options: dict[str, Any]) -> Any:
    if not kind.is_tenants:
        return kind.find(options["name"])
    if options["tenant"] is None:
        raise CommandError("Name the tenant of the object: --tenant SLUG.")
    with tenant_context(find_tenant(options["tenant"])):
        return kind.find(options["name"])


def _act(kind: Versioned[Any], row: Any, options: dict[str, Any]) -> None:
    reason = options["reason"]
    if options["rollback"]:
        kind.roll_back(row, options["rollback"], reason=reason, effective_from=options["effective_from"])
    if options["withdraw"]:
        kind.withdraw(row, options["withdraw"], reason=reason)


def _facts(version: VersionFacts, *, is_current: bool) -> dict[str, Any]:
    return {
        "number": version.number,
        "is_in_effect": is_current,
        "outcome": version.outcome,
        "author": version.author,
        "reason": version.reason,
        "effective_from": version.effective_from.isoformat(),
        "created_at": version.created_at.isoformat(),
        "before": version.before,
        "after": version.after,
        "content": version.content,
    }


def _line(facts: dict[str, Any]) -> str:
    state = "in effect" if facts["is_in_effect"] else facts["outcome"]
    before, after = facts["before"], facts["after"]
    changes = ", ".join(f"{name} {_short(before[name])} → {_short(value)}" for name, value in after.items())
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    return f"{facts['number']} {state} from {facts['effective_from']} by {facts['author']}{reason}: {changes or '–'}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
