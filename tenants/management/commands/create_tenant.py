"""Command that creates a tenant."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.management.base import PlatformCommand
from tenants.tenancy.service import create_tenant


class Command(PlatformCommand):
    help = "Create a tenant on a plan."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="1 to 50 lower-case letters, digits and hyphens")
        parser.add_argument("--plan", required=True, help="the plan's slug, such as sandbox, team or professional")
        parser.add_argument("--name", default="", help="the display name (default: the slug)")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = create_tenant(slug=options["slug"], plan=options["plan"], name=options["name"])
        facts = {"id": str(tenant.pk), "slug": tenant.slug, "name": tenant.name, "plan": tenant.plan.slug}
        self.show(options, facts, f"Tenant {tenant.slug} is on the plan {tenant.plan.slug}.")
