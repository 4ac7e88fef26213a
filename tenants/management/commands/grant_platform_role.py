"""Command that grants or revokes a user's platform role."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.access.people import grant_platform_role, revoke_platform_role
from tenants.access.people_queries import find_user
from tenants.access.permissions import PlatformRole
from tenants.management.base import PlatformCommand

NO_ROLE = "none"


class Command(PlatformCommand):
    help = (
        "Set a user's platform role (admin, operator, auditor); `none` revokes it. Create the first admin with "
        "`create_platform_admin`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the user's name or e-mail address")
        parser.add_argument(
            "role", choices=[*(role.value for role in PlatformRole), NO_ROLE], help="the role; `none` revokes it"
        )
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        role, reason = options["role"], options["reason"]
        user = find_user(options["username"])
        facts = {"username": user.get_username(), "role": None if role == NO_ROLE else role}
        if role == NO_ROLE:
            revoke_platform_role(user=user, reason=reason)
            self.show(options, facts, f"{user.get_username()} no longer has a platform role.")
        else:
            grant_platform_role(user=user, role=role, reason=reason)
            self.show(options, facts, f"{user.get_username()} is {role} of the platform.")
