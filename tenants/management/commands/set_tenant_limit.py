"""Command that sets or clears an override of a tenant's limit."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.limits.service import clear_tenant_limit, set_tenant_limit
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Set an override of a tenant's limit, or clear it so that the plan's limit applies again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("key", help="the limit, such as worker_seconds_per_month; `show_usage` lists them")
        parser.add_argument("value", type=int, nargs="?", help="in the limit's own unit")
        parser.add_argument("--clear", action="store_true", help="clear the override")
        parser.add_argument("--reason", required=True, help="why, for the audit log")
        parser.add_argument(
            "--until", type=moment, metavar="TIME", help="the plan's limit applies again from this time on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["clear"] == (options["value"] is not None):
            raise CommandError("Give either a value or --clear.")
        sentence = _change(options)
        self.show(options, _facts(options), sentence)


def _change(options: dict[str, Any]) -> str:
    tenant, key, reason = find_tenant(options["tenant"]), options["key"], options["reason"]
    if options["clear"]:
        was_set = clear_tenant_limit(tenant=tenant, key=key, reason=reason)
        return f"The plan's limit {key} applies to {tenant.slug}{'' if was_set else ', as before'}."
    expires_at = options["until"]
    set_tenant_limit(tenant=tenant, key=key, value=options["value"], reason=reason, expires_at=expires_at)
    until = f" until {expires_at.isoformat()}" if expires_at else ""
    return f"{tenant.slug} may use {options['value']:,} of {key}{until}."


def _facts(options: dict[str, Any]) -> dict[str, Any]:
    until = options["until"]
    return {
        "tenant": options["tenant"],
        "key": options["key"],
        "value": options["value"],
        "until": until.isoformat() if until else None,
    }
