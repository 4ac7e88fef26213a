"""Command that ends a tenant's suspension."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant
from tenants.tenancy.service import reinstate_tenant
from tenants.tenancy.suspensions import describe_suspension


class Command(PlatformCommand):
    help = "End a tenant's suspension; refused while the tenant is being erased. A pause or drain stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the tenant's slug")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = reinstate_tenant(tenant=find_tenant(options["slug"]), reason=options["reason"])
        self.stdout.write(describe_suspension(tenant, as_json=options["json"]))
