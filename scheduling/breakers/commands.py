"""Arguments that the management commands about circuit breakers share."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from scheduling.models import Circuit
from tenants.tenancy.queries import find_tenant


def add_circuit_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that name a breaker: its tenant or `--shared`, its kind, and a dependency of the kind."""
    parser.add_argument("tenant", nargs="?", help="the tenant's slug; omitted with --shared")
    parser.add_argument("kind", help="the kind of the jobs")
    parser.add_argument("--dependency", default="", help="the dependency (default: the kind itself)")
    parser.add_argument("--shared", action="store_true", help="the breaker shared by all tenants")
    parser.add_argument("--reason", default="", help="the reason, for the audit log")


def named_tenant(options: Mapping[str, Any]) -> tuple[UUID | None, str]:
    """Return the id and slug of the tenant in the arguments; with `--shared` return None and "all tenants".

    Raise CommandError unless exactly one of the two is given.
    """
    if bool(options["tenant"]) == options["shared"]:
        raise CommandError("Name a tenant or pass --shared, not both.")
    if options["shared"]:
        return None, "all tenants"
    tenant = find_tenant(options["tenant"])
    return tenant.pk, tenant.slug


def circuit_facts(circuit: Circuit, *, tenant: str | None) -> dict[str, Any]:
    """Return a breaker for JSON; ``tenant`` is its tenant's slug, or None for a shared one."""
    return {
        "tenant": tenant,
        "kind": circuit.kind,
        "dependency": circuit.dependency,
        "state": circuit.state,
        "failures": circuit.failures,
        "fingerprint": circuit.fingerprint,
        "error_type": circuit.error_type,
        "error_message": circuit.error_message,
        "opened_at": circuit.opened_at.isoformat() if circuit.opened_at else None,
        "until": circuit.until.isoformat() if circuit.until else None,
        "reason": circuit.forced_reason,
    }
