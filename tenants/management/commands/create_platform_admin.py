"""Command that creates an account that is an admin of the platform."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.access.passwords import add_password_argument, read_password
from tenants.access.people import create_platform_admin
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Create an account that is an admin of the platform: the first one, or when no admin can log in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the name of the account, with which it logs in")
        parser.add_argument("--email", default="", help="the account's e-mail address (default: none)")
        add_password_argument(parser)
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        username, password = options["username"], read_password(from_stdin=options["password_stdin"])
        create_platform_admin(username=username, password=password, email=options["email"], reason=options["reason"])
        self.show(options, {"username": username, "role": "admin"}, f"{username} is admin of the platform.")
