"""Command that forces a circuit breaker open or closed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.breakers.commands import add_circuit_arguments, circuit_facts, named_tenant
from scheduling.breakers.service import force_circuit
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Force a circuit breaker open (its jobs wait) or closed (its jobs run); reset_circuit ends this."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_circuit_arguments(parser)
        parser.add_argument("--state", required=True, choices=["open", "closed"], help="forced state")
        parser.add_argument("--until", type=moment, help="end of the forced state, such as 2026-01-31T09:30Z")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id, whose = named_tenant(options)
        circuit = force_circuit(
            kind=options["kind"],
            tenant_id=tenant_id,
            dependency=options["dependency"],
            is_open=options["state"] == "open",
            until=options["until"],
            reason=options["reason"],
        )
        text = f"The breaker of {options['kind']} of {whose} is {circuit.get_state_display()}."
        self.show(options, circuit_facts(circuit, tenant=options["tenant"]), text)
