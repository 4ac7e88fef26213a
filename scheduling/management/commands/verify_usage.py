"""Prove that the counted worker time is the measured one."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.services.usage import verify_usage
from tenants.context import acting_as, command_actor


class Command(BaseCommand):
    help = (
        "Compare each tenant's counted worker time of this month with its executions, and the charges of each of the"
        " last day with what was measured of it; exit status 1 if any differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="count anew what differs; then the status is 0")
        parser.add_argument("--reason", default="", help="why it is repaired, for the audit log")
        parser.add_argument("--json", action="store_true", help="print the differences as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with acting_as(command_actor("verify_usage")):
            differences = verify_usage(repair=options["repair"], reason=options["reason"])
        # Nothing repairs the charges of an execution.
        left = [row for row in differences if not options["repair"] or row.execution_id is not None]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(row) for row in differences], default=str))
        else:
            for row in differences:
                self.stdout.write(
                    f"{row.tenant_id} {row.subject}: counted {row.counted_us:,} µs, measured {row.measured_us:,} µs"
                )
            self.stdout.write(f"{len(differences)} differ, {len(differences) - len(left)} are repaired.")
        if left:
            raise CommandError(f"{len(left)} sums are not what was measured.")
