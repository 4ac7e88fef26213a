"""Command that adds an account to a tenant without an invitation."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.access.memberships import add_member
from tenants.access.people_queries import find_user
from tenants.management.base import PlatformCommand
from tenants.models import Role
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Add an account to a tenant, without an invitation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("user", help="the user name or e-mail address of an account")
        parser.add_argument(
            "--role", default=Role.VIEWER, help="role in the tenant, also one of its own (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, user = find_tenant(options["tenant"]), find_user(options["user"])
        add_member(tenant=tenant, user=user, role=options["role"])
        facts = {"tenant": tenant.slug, "username": user.get_username(), "role": options["role"]}
        self.show(options, facts, f"{user} is a member of {tenant.slug} ({options['role']}).")
