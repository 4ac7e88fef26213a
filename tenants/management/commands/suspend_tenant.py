"""Command that suspends a tenant."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant
from tenants.tenancy.service import suspend_tenant
from tenants.tenancy.suspensions import describe_suspension


class Command(PlatformCommand):
    help = (
        "Suspend a tenant: no job is accepted or dispatched. Running jobs continue unless --cancel-running. "
        "Suspending a suspended tenant changes reason and end."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the tenant's slug")
        parser.add_argument("--reason", required=True, help="why; shown to the tenant, and stored in the audit log")
        parser.add_argument("--until", type=moment, metavar="TIME", help="the suspension ends at this time")
        parser.add_argument("--cancel-running", action="store_true", help="also cancel running jobs")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = suspend_tenant(
            tenant=find_tenant(options["slug"]),
            reason=options["reason"],
            until=options["until"],
            cancel_running=options["cancel_running"],
        )
        self.stdout.write(describe_suspension(tenant, as_json=options["json"]))
