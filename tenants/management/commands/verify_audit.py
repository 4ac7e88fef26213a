"""Prove that the audit log is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.audit_exports import read_heads
from tenants.exceptions import DomainError
from tenants.selectors.tenants import find_tenant
from tenants.services.audit_verification import Verification, verify_chains


class Command(BaseCommand):
    help = (
        "Verify the chains of the audit log against its entries and the signed heads; exit status 1 if anything was"
        " edited, deleted, inserted or reordered."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="the slug of the only tenant whose chain is verified (default: all)")
        parser.add_argument("--heads", type=Path, help="a file of `export_audit_heads` that was kept elsewhere")
        parser.add_argument("--json", action="store_true", help="print what was covered and found as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = find_tenant(options["tenant"]) if options["tenant"] else None
            heads = read_heads(options["heads"]) if options["heads"] else ()
            outcome = verify_chains(tenant=tenant, heads=heads)
        except (DomainError, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            facts = {
                "is_intact": outcome.is_intact,
                "covered": outcome.counts(),
                "findings": [finding.as_dict() for finding in outcome.findings],
            }
            self.stdout.write(json.dumps(facts))
        else:
            for line in _describe(outcome):
                self.stdout.write(line)
        if not outcome.is_intact:
            raise CommandError(f"The audit log is not intact: {len(outcome.findings)} findings.")


def _describe(outcome: Verification) -> Iterator[str]:
    for finding in outcome.findings:
        where = " ".join(
            part
            for part in (
                f"chain {finding.chain}",
                "" if finding.sequence is None else f"#{finding.sequence}",
                "" if finding.entry_id is None else f"entry {finding.entry_id}",
            )
            if part
        )
        yield f"{finding.kind}: {where}: {finding.detail}"
    if outcome.is_intact:
        yield (
            f"The audit log is intact: {outcome.seals:,} seals, {outcome.entries:,} entries and {outcome.heads:,}"
            f" signed heads of {outcome.chains:,} chains."
        )
