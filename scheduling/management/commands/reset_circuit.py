"""Close a circuit breaker by hand."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.services.circuits import reset_circuit
from tenants.context import acting_as, command_actor, tenant_context
from tenants.exceptions import DomainError
from tenants.selectors.tenants import find_tenant


class Command(BaseCommand):
    help = "Close the circuit breaker of a tenant's jobs of one kind: they come back at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("kind", help="the jobs' kind")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(command_actor("reset_circuit")):
                tenant = find_tenant(options["tenant"])
                with tenant_context(tenant):
                    reset_circuit(kind=options["kind"], tenant_id=tenant.pk, reason=options["reason"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"Jobs of kind {options['kind']} of {tenant.slug} come back.")
