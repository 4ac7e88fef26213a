"""Prove that every microsecond is accounted for."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.services.ledger import verify_ledger


class Command(BaseCommand):
    help = "Compare each tenant's charges with what its executions took; exit status 1 if anybody's differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the balances as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        report = verify_ledger()
        if options["json"]:
            balances = [asdict(balance) | {"difference_us": balance.difference_us} for balance in report.balances]
            facts = {"is_balanced": report.is_balanced, "tenants": balances}
            self.stdout.write(json.dumps(facts, default=str))
        else:
            for balance in report.balances:
                self.stdout.write(
                    f"{balance.tenant_id}: charged {balance.charged_us:,} µs, measured {balance.measured_us:,} µs,"
                    f" predicted {balance.predicted_us:,} µs, difference {balance.difference_us:,} µs"
                )
        if not report.is_balanced:
            raise CommandError(f"The ledger of {len(report.unbalanced)} tenants does not balance.")
        if not options["json"]:
            self.stdout.write(f"The ledger balances for {len(report.balances)} tenants.")
