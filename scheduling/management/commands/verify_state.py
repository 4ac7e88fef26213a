"""Prove that what is stored agrees with itself, and repair what does not."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.services.consistency.verification import Finding, StateReport, verify_state
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError
from tenants.selectors.tenants import find_tenant


class Command(BaseCommand):
    help = (
        "Check counters, orphans, impossible states, ledger and audit chains, while everything runs; exit status 1 if"
        " anything is wrong, or with --repair if anything is left."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="repair what can be; then look again")
        parser.add_argument("--reason", default="", help="why it is repaired, for the audit log")
        parser.add_argument("--tenant", help="the slug of the only tenant that is looked at (default: all)")
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = find_tenant(options["tenant"]) if options["tenant"] else None
        except DomainError as error:
            raise CommandError(str(error)) from error
        with acting_as(command_actor("verify_state")):
            report = verify_state(repair=options["repair"], tenant=tenant, reason=options["reason"])
        if options["json"]:
            self._print_json(report)
        else:
            self._print(report)
        if not report.is_clean:
            left = sum(finding.number - finding.repaired for finding in report.findings.values()) + report.untold
            raise CommandError(f"{left} faults {'are left' if options['repair'] else 'were found'}.")

    def _print_json(self, report: StateReport) -> None:
        facts = {
            "is_clean": report.is_clean,
            "checks": report.checks,
            "findings": [finding.as_dict() for finding in report.findings.values()],
            "untold": report.untold,
        }
        self.stdout.write(json.dumps(facts))

    def _print(self, report: StateReport) -> None:
        for finding in report.findings.values():
            self.stdout.write(f"{finding}\n  {_outlook(finding)}")
        if report.untold:
            self.stdout.write(f"{report.untold} more faults of other tenants are not listed.")
        self.stdout.write(f"{len(report.checks)} checks, {len(report.findings)} findings.")


def _outlook(finding: Finding) -> str:
    if not finding.is_repairable:
        return "Nothing repairs it; see docs/verify_state.md."
    if finding.repaired:
        return f"Repaired: {finding.repaired} of {finding.number}. {finding.kind.repair}"
    return f"--repair: {finding.kind.repair}"
