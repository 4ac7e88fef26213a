"""Command that shows the load states, forces one for a time, or releases it."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from scheduling.load.models import PLATFORM
from scheduling.load.queries import list_states
from scheduling.load.rules import Level
from scheduling.load.service import force_level, release_level
from scheduling.load.words import reason_words
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Show the load states of the platform and of its pools; force one for a time, or release it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("scope", nargs="?", default=PLATFORM, help="platform (the default), or pool:NAME")
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument("--force", choices=[level.slug for level in Level], help="state to force")
        acts.add_argument("--release", action="store_true", help="end the forced state")
        parser.add_argument("--minutes", type=int, default=60, help="for how long, at most a day (default: 60)")
        parser.add_argument("--reason", default="", help="the reason, for the audit log; needed with --force")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        scope, forced = options["scope"], options["force"]
        with all_tenants():
            now = read_clock()
        until = now + timedelta(minutes=options["minutes"])
        if options["dry_run"]:
            self._check(scope)
            change = f"{forced} would apply until {until:%F %T} UTC" if forced else "the measured state would apply"
            self.show(options, {"scope": scope, "state": forced, "until": until}, f"{scope}: {change}.")
            return
        if forced:
            force_level(scope=scope, level=Level[forced.upper()], until=until, reason=options["reason"])
        elif options["release"]:
            release_level(scope=scope, reason=options["reason"])
        self._report(options)

    def _check(self, scope: str) -> None:
        with all_tenants():
            if scope not in {row.scope for row in list_states()}:
                raise CommandError(f"There is no load state of {scope!r}.")

    def _report(self, options: dict[str, Any]) -> None:
        with all_tenants():
            now, rows = read_clock(), list_states()
        facts = [
            {
                "scope": row.scope,
                "state": row.applying(now).slug,
                "measured_state": Level(row.level).slug,
                "since": row.since,
                "signals": row.signals,
                "forced_until": row.forced_until,
                "forced_reason": row.forced_reason,
            }
            for row in rows
        ]
        lines = [
            f"{row.scope:24} {row.applying(now).slug:11} since {row.since:%F %T} UTC  {', '.join(reason_words(row))}"
            for row in rows
        ]
        self.show(options, facts, "\n".join(lines) or "Nothing is measured yet: start a dispatcher.")
