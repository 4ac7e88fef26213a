"""Command that lists circuit breakers."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from scheduling.breakers.commands import circuit_facts
from scheduling.breakers.queries import list_circuits
from scheduling.models import Circuit
from tenants.context import all_tenants


class Command(BaseCommand):
    requires_system_checks = ()
    help = "List the circuit breakers, shared and of all tenants, with their failures and the time of the next probe."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print them as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            circuits = list(list_circuits())
        if options["json"]:
            self.stdout.write(json.dumps([circuit_facts(each, tenant=_slug(each)) for each in circuits]))
            return
        for circuit in circuits:
            until = f" until {circuit.until.isoformat(timespec='seconds')}" if circuit.until else ""
            why = circuit.forced_reason or (
                f"{circuit.failures} failures ({circuit.error_type}: {circuit.error_message})"
            )
            self.stdout.write(
                f"{_slug(circuit) or '(shared)'} {circuit.kind}"
                f"{f' needs {circuit.dependency}' if circuit.dependency else ''}:"
                f" {circuit.get_state_display()}{until}, {why}"
            )
        if not circuits:
            self.stdout.write("No circuit breakers.")


def _slug(circuit: Circuit) -> str | None:
    return circuit.tenant.slug if circuit.tenant is not None else None
