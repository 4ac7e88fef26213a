"""Command that adds an account to a tenant without an invitation."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.access.memberships import add_member
from tenants.access.people_queries import find_user
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError
from tenants.models import Role
from tenants.tenancy.queries import find_tenant


class Command(BaseCommand):
    help = "Add an account to a tenant, without an invitation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("user", help="the user name or e-mail address of an account")
        parser.add_argument(
            "--role", choices=Role.values, default=Role.VIEWER, help="role in the tenant (default: %(default)s)"
        )
        parser.add_argument("--json", action="store_true", help="print the member as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(command_actor("add_member")):
                tenant, user = find_tenant(options["tenant"]), find_user(options["user"])
                add_member(tenant=tenant, user=user, role=options["role"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            facts = {"tenant": tenant.slug, "username": user.get_username(), "role": options["role"]}
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        else:
            self.stdout.write(f"{user} is a member of {tenant.slug} ({options['role']}).")
