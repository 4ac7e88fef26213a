"""Command that replays an alert rule over the stored history."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from scheduling.alerts.backtest import DAYS, BacktestVerdict, backtest
from scheduling.models import AlertRule
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Show when an alert rule of the platform would have fired; exit with 1 if never, or almost always."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("rule", help="the rule's name, or the name that it is shipped with")
        parser.add_argument("--days", type=int, default=DAYS, help=f"days of history (default: {DAYS})")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            rules = AlertRule.objects.filter(tenant=None)
            rule = (rules.filter(name=options["rule"]) | rules.filter(origin=options["rule"])).first()
            if rule is None:
                raise CommandError(f"There is no alert rule {options['rule']}.")
            found = backtest(rule, days=options["days"])
        spans = [f"  {span.began_at:%F %R} to {span.ended_at or 'now'}: {span.label}" for span in found.spans]
        self.show(options, asdict(found), "\n".join([found.sentence, *spans, *filter(None, [found.warning])]))
        if found.verdict in (BacktestVerdict.NEVER, BacktestVerdict.ALWAYS):
            sys.exit(1)
