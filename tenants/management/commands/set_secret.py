"""Command that stores or replaces a tenant's secret."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Any

from django.core.management.base import CommandParser

from tenants.management.base import PlatformCommand
from tenants.secrets.service import put_secret
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Store a tenant's secret, or replace the one of that name; the value is read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("name", help="lower-case letters, digits and underscores")
        parser.add_argument(
            "--host",
            action="append",
            required=True,
            metavar="HOST",
            help="a host that it is sent to, such as api.example.com or *.example.com; may be repeated",
        )
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        # Not an argument: all users of the machine can see the arguments of a process.
        value = getpass("Value: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
        secret = put_secret(
            tenant=find_tenant(options["tenant"]),
            name=options["name"],
            value=value,
            hosts=options["host"],
            reason=options["reason"],
        )
        facts = {"name": secret.name, "version": secret.version, "hosts": list(secret.hosts)}
        self.show(options, facts, f"{secret.name}: version {secret.version}, for {', '.join(secret.hosts)}")
