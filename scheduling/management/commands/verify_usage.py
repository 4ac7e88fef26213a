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
    help = "Compare each tenant's counted worker time of this month with its executions; exit status 1 if any differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="count anew what differs; then the status is 0")
        parser.add_argument("--reason", default="", help="why it is repaired, for the audit log")
        parser.add_argument("--json", action="store_true", help="print the differences as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with acting_as(command_actor("verify_usage")):
            differences = verify_usage(repair=options["repair"], reason=options["reason"])
        if options["json"]:
            self.stdout.write(json.dumps([asdict(row) for row in differences], default=str))
        else:
            for row in differences:
                self.stdout.write(
                    f"{row.tenant_id} {row.period:%Y-%m}: counted {row.counted_us:,} µs,"
                    f" measured {row.measured_us:,} µs"
                )
            self.stdout.write(f"{len(differences)} tenants differ{' and are repaired' if options['repair'] else ''}.")
        if differences and not options["repair"]:
            raise CommandError(f"The counters of {len(differences)} tenants are not what was measured.")
