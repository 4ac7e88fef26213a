"""Command that creates a tenant, or provisions it with an owner and a first API key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.console.links import invitation_path
from tenants.management.base import PlatformCommand
from tenants.tenancy.provisioning import NewTenant, provision_tenant
from tenants.tenancy.service import create_tenant


class Command(PlatformCommand):
    help = "Create a tenant on a plan; with --owner also invite its owner and issue its first API key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="1 to 50 lower-case letters, digits and hyphens")
        parser.add_argument("--plan", required=True, help="the plan's slug, such as sandbox, team or professional")
        parser.add_argument("--name", default="", help="the display name (default: the slug)")
        parser.add_argument("--owner", default="", help="e-mail address of the person to invite as owner")
        parser.add_argument("--host", default="http://localhost:8000", help="host of the invitation link: %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        data = {name: options[name] for name in ("slug", "plan", "name")}
        shown_once: dict[str, str | None] = {}
        if options["owner"]:
            wanted = NewTenant(**data, owner=options["owner"])
            made = provision_tenant(wanted=wanted, link_of=lambda token: options["host"] + invitation_path(token))
            tenant, shown_once = made.tenant, {"link": made.link, "token": made.token}
        else:
            tenant = create_tenant(**data)
        lines = [f"{name.capitalize()}: {value}" for name, value in shown_once.items() if value]
        facts = {"id": str(tenant.pk), "slug": tenant.slug, "name": tenant.name, "plan": tenant.plan.slug}
        text = f"Tenant {tenant.slug} is on the plan {tenant.plan.slug}."
        self.show(options, facts | shown_once, "\n".join([text, *lines]))
