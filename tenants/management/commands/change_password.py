"""Command that changes an account's password."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.access.passwords import add_password_argument, read_password
from tenants.access.people import change_password
from tenants.access.people_queries import find_user
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Change an account's password and end its sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the user's name or e-mail address")
        add_password_argument(parser)
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["username"])
        password = read_password(from_stdin=options["password_stdin"])
        change_password(user=user, password=password, reason=options["reason"])
        self.show(
            options,
            {"username": user.get_username()},
            f"{user.get_username()} has a new password and is logged out everywhere.",
        )
