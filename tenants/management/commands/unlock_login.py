"""Command that unlocks user names and addresses that are locked after wrong passwords."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.access.locked_names import unlock_logins
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Delete failed log-ins: of a name, an address, a name from an address, or all."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", help="the name as it was typed at the log-in")
        parser.add_argument("--address", help="only from this address")
        parser.add_argument("--all", action="store_true", help="all names from all addresses")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        name, address = options["username"], options["address"]
        if bool(name or address) == options["all"]:
            raise CommandError("Give a name, --address or both; or --all alone.")
        forgotten = unlock_logins(name=name, address=address, reason=options["reason"])
        self.show(options, {"forgotten": forgotten}, f"{forgotten:,} failed log-ins are deleted.")
