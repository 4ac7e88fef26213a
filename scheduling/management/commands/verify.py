"""Command that runs the consistency checks, and optionally repairs faults."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.consistency.registry import STATE, find_checks
from scheduling.consistency.rollups import HOURS, MAX_HOURS
from scheduling.consistency.verification import CheckFinding, StateReport, verify
from tenants.audit.export_file import read_heads
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError
from tenants.tenancy.queries import find_tenant


class Command(BaseCommand):
    requires_system_checks = ()
    help = (
        "Check the consistency of the stored rows during normal operation: counters, orphans, "
        "impossible states, sums, audit chains, erasures. Exit status 1 if a fault is found, or with "
        "--repair if one is left."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = f"the checks to run (default: all); {STATE!r} names all without an upkeep task of their own"
        parser.add_argument("names", nargs="*", metavar="NAME", help=names)
        parser.add_argument("--list", action="store_true", help="print the checks and the codes of their faults")
        parser.add_argument(
            "--repair", action="store_true", help="repair the faults that can be repaired, then check again"
        )
        parser.add_argument("--reason", default="", help="the reason of the repair, for the audit log")
        parser.add_argument("--tenant", metavar="SLUG", help="the only tenant to check (default: all)")
        parser.add_argument(
            "--heads", type=Path, help="audit: a file of `export_audit_heads` that was stored elsewhere"
        )
        hours = f"rollups: how many whole hours to recount, 1 to {MAX_HOURS} (default {HOURS})"
        parser.add_argument("--hours", type=int, choices=range(1, MAX_HOURS + 1), metavar="N", help=hours)
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["list"]:
                self._print_checks(options["names"], is_json=options["json"])
                return
            with acting_as(command_actor("verify")):
                report = _verify(options)
        except (DomainError, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self._print_json(report)
        else:
            self._print(report)
        if not report.is_clean:
            raise CommandError(f"{report.left} faults {'are left' if options['repair'] else 'were found'}.")

    def _print_checks(self, names: list[str], *, is_json: bool) -> None:
        codes = {check.name: [kind.code for kind in check.kinds] for check in find_checks(names)}
        if is_json:
            self.stdout.write(json.dumps(codes))
            return
        for name, found in codes.items():
            self.stdout.write(f"{name}: {', '.join(found)}")

    def _print_json(self, report: StateReport) -> None:
        facts = {
            "is_clean": report.is_clean,
            "checks": report.checks,
            "counts": report.counts,
            "findings": [finding.as_dict() for finding in report.findings.values()],
            "untold": report.untold,
        }
        self.stdout.write(json.dumps(facts))

    def _print(self, report: StateReport) -> None:
        for finding in report.findings.values():
            self.stdout.write(f"{finding}\n  {_outlook(finding)}")
        if report.untold:
            self.stdout.write(f"{report.untold} more faults of other tenants are not listed.")
        for name, counts in report.counts.items():
            if counts:
                self.stdout.write(f"{name}: {', '.join(f'{count:,} {noun}' for noun, count in counts.items())}")
        self.stdout.write(f"{len(report.checks)} checks, {len(report.findings)} findings.")


def _verify(options: Mapping[str, Any]) -> StateReport:
    heads = list(read_heads(options["heads"])) if options["heads"] else None
    return verify(
        options["names"],
        repair=options["repair"],
        tenant=find_tenant(options["tenant"]) if options["tenant"] else None,
        reason=options["reason"],
        options={"heads": heads, "hours": options["hours"]},
    )


def _outlook(finding: CheckFinding) -> str:
    if not finding.is_repairable:
        return "It has no automatic repair; see docs/reference/consistency.md."
    if finding.repaired:
        return f"Repaired: {finding.repaired} of {finding.number}. {finding.kind.repair}"
    return f"--repair: {finding.kind.repair}"
