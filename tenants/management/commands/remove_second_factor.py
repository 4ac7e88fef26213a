"""Command that removes the second factors of an account whose owner has lost them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.access.people_queries import find_user
from tenants.identity.factors import count_factors, remove_factors
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Remove the second factor and the recovery codes of an account, so that its password is enough again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user name or e-mail address of the account")
        parser.add_argument("--reason", default="", help="why, for the audit log")
        parser.add_argument("--dry-run", action="store_true", help="print how many would be removed; remove none")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["user"])
        if options["dry_run"]:
            number = count_factors(user)
            self.show(options, {"would_remove": number}, f"{number} second factors would be removed.")
            return
        number = remove_factors(user=user, reason=options["reason"])
        self.show(options, {"removed": number}, f"{number} second factors are removed.")
