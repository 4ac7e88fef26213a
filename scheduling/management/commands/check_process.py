"""A probe for containers that serve no HTTP."""

from __future__ import annotations

import platform
from argparse import ArgumentParser
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.conf import lease_seconds
from scheduling.models import ProcessHeartbeat
from scheduling.selectors.processes import ROLES, read_heartbeat_age
from tenants.auditor import auditor_login
from tenants.context import all_tenants


class Command(BaseCommand):
    # A probe runs every few seconds and must be cheap.
    requires_system_checks: list[str] = []
    help = "Whether a worker, dispatcher, beat or auditor of this host has a fresh heartbeat; exit status 1 if not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", choices=ROLES)
        parser.add_argument("--host", default=platform.node(), help="the host that it runs on (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        # The auditor has no other login than its own.
        login = auditor_login() if options["role"] == ProcessHeartbeat.Role.AUDITOR else nullcontext()
        with login, all_tenants():
            age = read_heartbeat_age(options["role"], hostname=options["host"])
        who = f"{options['role']} on {options['host']}"
        if age is None:
            raise CommandError(f"No {who} was ever heard of.")
        if age > lease_seconds():
            raise CommandError(f"The {who} was last heard of {age:.0f} s ago.")
        self.stdout.write(f"The {who} was heard of {age:.1f} s ago.")
