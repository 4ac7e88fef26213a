"""Command that shows a tenant's limits and usage."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.context import tenant_context
from tenants.limits.declared import format_moment
from tenants.limits.usage_queries import Usage, UsageLine, read_usage
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Show every limit of a tenant: used, allowed, left, when it resets, and its source."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        with tenant_context(tenant):
            usage = read_usage(tenant.pk)
        self.show(options, _facts(options["tenant"], usage), "\n".join(map(_sentence, usage.lines)))


def _facts(slug: str, usage: Usage) -> dict[str, Any]:
    return {
        "tenant": slug,
        "starts_at": format_moment(usage.starts_at),
        "ends_at": format_moment(usage.ends_at),
        "limits": [
            {
                "key": line.limit.key,
                "unit": line.limit.unit,
                "used": line.used,
                "allowed": line.allowed,
                "left": line.left,
                "resets_at": None if line.resets_at is None else format_moment(line.resets_at),
                "state": line.state,
                "source": line.source,
                "note": line.note,
            }
            for line in usage.lines
        ],
        "warnings": [{"key": row.key, "percent": row.percent, "at": format_moment(row.at)} for row in usage.warnings],
    }


def _sentence(line: UsageLine) -> str:
    allowed = "no limit" if line.allowed is None else f"{line.allowed:,}"
    used = "" if line.used is None else f"{line.used:,} of "
    resets = "" if line.resets_at is None else f", resets {format_moment(line.resets_at)}"
    return f"{line.limit.key}: {used}{allowed} {line.limit.unit} ({line.state}, by {line.source}{resets})" + (
        f". {line.note}" if line.note else ""
    )
