"""Command that searches the log lines of all jobs, and optionally follows them."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from scheduling.execution.logs.queries import format_line
from scheduling.log_search.platform_lines import search_platform_lines
from scheduling.log_search.query import parse_query
from scheduling.log_search.search import search_lines
from scheduling.management.commands.tail_job import as_json
from scheduling.models import PlatformLog
from tenants.context import all_tenants, tenant_context
from tenants.encryption.fields import is_sealing
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant

POLL_SECONDS = 1.0
# Lines of one look that may be committed after younger ones.
OVERLAP = timedelta(seconds=30)
FOLLOWED_LINES = 1_000


class Command(PlatformCommand):
    help = "Search the log lines of all jobs and print them, oldest first; with --follow also new ones."
    json_help = "print each line as a JSON object"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("query", nargs="?", default="", help="such as: timeout level:error kind:noop")
        parser.add_argument("--tenant", metavar="SLUG", help="only lines of this tenant")
        parser.add_argument("--platform", action="store_true", help="lines of the platform's own processes, as JSON")
        parser.add_argument("--hours", type=float, default=24.0, help="how far back to search (default: 24)")
        parser.add_argument("--limit", type=int, default=100, help="the most lines to print first (default: 100)")
        parser.add_argument("--follow", action="store_true", help="print new lines until interrupted")

    def handle(self, *args: Any, **options: Any) -> None:
        since = timezone.now() - timedelta(hours=options["hours"])
        seen = self._print(options, since, options["limit"], set())
        while options["follow"]:
            time.sleep(POLL_SECONDS)
            seen = self._print(options, timezone.now() - OVERLAP, FOLLOWED_LINES, seen)

    def _print(self, options: dict[str, Any], since: Any, limit: int, seen: set[UUID]) -> set[UUID]:
        """Print the matching lines that were not printed before; return the ids of all of them."""
        query = parse_query(options["query"], is_sealed=is_sealing()).between(since, None)
        search = search_platform_lines if options["platform"] else search_lines
        with tenant_context(find_tenant(slug=options["tenant"])) if options["tenant"] else all_tenants():
            found = search(query, limit=limit)
        for line in reversed(found.lines):
            if line.id not in seen:
                self.stdout.write(_text(line, is_json=options["json"]))
        if found.is_cut:
            self.stderr.write("The search reached its time limit and is not complete: name a tenant or fewer hours.")
        return {line.id for line in found.lines}


def _text(line: Any, *, is_json: bool) -> str:
    if isinstance(line, PlatformLog):
        facts = {"id": str(line.id), "at": line.at.isoformat(), "level": line.get_level_display()}
        return json.dumps({**facts, "message": line.message, "fields": line.fields}, ensure_ascii=False)
    return as_json(line) if is_json else f"{line.slug} {line.job_id} {format_line(line)}"
