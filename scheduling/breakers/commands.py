"""Shared arguments of the commands about circuit breakers."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from tenants.tenancy.queries import find_tenant


def add_circuit_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that name a breaker: a tenant's or the shared one, of a kind or of a dependency of the kind."""
    parser.add_argument("tenant", nargs="?", help="the tenant's slug; left out with --shared")
    parser.add_argument("kind", help="the jobs' kind")
    parser.add_argument("--dependency", default="", help="what is needed; left out: the kind itself")
    parser.add_argument("--shared", action="store_true", help="the breaker of all tenants")
    parser.add_argument("--reason", default="", help="why, for the audit log")


def named_tenant(options: Mapping[str, Any]) -> tuple[UUID | None, str]:
    """Return the named tenant's id and slug, or None and "all tenants".

    Raise CommandError unless exactly one is named.
    """
    if bool(options["tenant"]) == options["shared"]:
        raise CommandError("Name a tenant, or say --shared.")
    if options["shared"]:
        return None, "all tenants"
    tenant = find_tenant(options["tenant"])
    return tenant.pk, tenant.slug
