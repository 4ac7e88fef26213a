"""Command that changes an account's password."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.access.passwords import add_password_argument, read_password
from tenants.access.people import change_password
from tenants.access.people_queries import find_user
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError


class Command(BaseCommand):
    help = "Change an account's password and end its sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the user's name or e-mail address")
        add_password_argument(parser)
        parser.add_argument("--reason", default="", help="why, for the audit log")
        parser.add_argument("--json", action="store_true", help="print the account as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = find_user(options["username"])
            password = read_password(from_stdin=options["password_stdin"])
            with acting_as(command_actor("change_password")):
                change_password(user=user, password=password, reason=options["reason"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            self.stdout.write(json.dumps({"username": user.get_username()}, ensure_ascii=False))
        else:
            self.stdout.write(f"{user.get_username()} has a new password and is logged out everywhere.")
