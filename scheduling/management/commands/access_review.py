"""Command that prints who has which right now, since when, and when it was last used."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.evidence.review import review_access
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = (
        "Print each right that exists now: members, platform roles and API keys, with who gave it and when, its last "
        "audited act, and the last log-in or use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="the only tenant (default: all, and the platform)")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = review_access(find_tenant(options["tenant"]) if options["tenant"] else None)
        lines = ["\t".join("" if value is None else str(value) for value in row.values()) for row in rows]
        self.show(options, rows, "\n".join(["\t".join(rows[0]) if rows else "No rights.", *lines]))
