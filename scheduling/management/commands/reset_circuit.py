"""Command that closes a circuit breaker, or releases a forced one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.breakers.commands import add_circuit_arguments, circuit_facts, named_tenant
from scheduling.breakers.service import reset_circuit
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Close the circuit breaker of a tenant's jobs of one kind, even if it is forced; its jobs are released at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_circuit_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id, whose = named_tenant(options)
        circuit = reset_circuit(
            kind=options["kind"],
            tenant_id=tenant_id,
            dependency=options["dependency"],
            reason=options["reason"],
        )
        text = f"Jobs of kind {options['kind']} of {whose} are released."
        self.show(options, circuit_facts(circuit, tenant=options["tenant"]), text)
