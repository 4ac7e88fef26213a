"""Command that removes the second factors of an account whose owner has lost them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.access.people_queries import find_user
from tenants.identity.factors import remove_factors
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Remove the second factor and the recovery codes of an account, so that its password is enough again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user name or e-mail address of the account")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        number = remove_factors(user=find_user(options["user"]), reason=options["reason"])
        self.show(options, {"removed": number}, f"{number} second factors are removed.")
