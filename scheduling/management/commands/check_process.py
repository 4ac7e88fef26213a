"""Command with which a container checks that a process without an HTTP port is alive."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.fleet.queries import ROLES
from scheduling.worker.watchdog import read_heartbeat_age
from tenants.database.platform_settings import platform_settings


class Command(BaseCommand):
    # A probe runs every few seconds and must be cheap; it ignores the database, whose outage must not restart workers.
    requires_system_checks: list[str] = []
    help = (
        "Check that a worker, dispatcher, beat or auditor of this machine has a fresh heartbeat; exit status 1 if not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", choices=ROLES, help="type of the process")
        parser.add_argument("--json", action="store_true", help="print role and age as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        role, age = options["role"], read_heartbeat_age(options["role"])
        if age is None:
            raise CommandError(f"No {role} has written a heartbeat file.")
        if age > platform_settings.LEASE_SECONDS:
            raise CommandError(f"The last heartbeat of a {role} was {age:.0f} s ago.")
        if options["json"]:
            self.stdout.write(json.dumps({"role": role, "age_seconds": round(age, 1)}))
        else:
            self.stdout.write(f"The last heartbeat of a {role} was {age:.1f} s ago.")
