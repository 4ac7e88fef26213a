"""Command that shows and changes a tenant's settings."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from tenants.management.base import PlatformCommand
from tenants.models import TenantSettings
from tenants.settings.schema import all_settings, effective_values, orphaned_keys, read_stored
from tenants.settings.service import change_settings
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Show a tenant's settings; with --set and --reset change them first, all or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            type=assignment,
            metavar="KEY=VALUE",
            help="a value as JSON, or a plain text; may be repeated",
        )
        parser.add_argument(
            "--reset", action="append", default=[], metavar="KEY", help="reset to the default; may be repeated"
        )
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        if options["set"] or options["reset"]:
            row = change_settings(
                tenant=tenant,
                values=dict(options["set"]),
                reset=options["reset"],
                reason=options["reason"],
                by_platform=True,
            )
        else:
            row = read_stored(tenant.pk)
        self._print(row, options)

    def _print(self, row: TenantSettings, options: dict[str, Any]) -> None:
        declared = all_settings()
        values = {key: declared[key].shown(value) for key, value in effective_values(row.stored).items()}
        orphaned = orphaned_keys(row.stored)
        changed = [key for key in declared if key in row.stored]
        facts = {"version": row.version, "values": values, "changed": changed, "orphaned": orphaned}
        notes = {key: "" if key in row.stored else "  (default)" for key in values}
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}{notes[key]}" for key, value in values.items()]
        lines += [f"{key}  (stored; no installed plug-in declares it)" for key in orphaned]
        self.show(options, facts, "\n".join(lines))


def assignment(text: str) -> tuple[str, Any]:
    """Return the key and the value of a text `KEY=VALUE`. The value is parsed as JSON, else taken as text."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ArgumentTypeError(f"{text!r} is not written as KEY=VALUE.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
