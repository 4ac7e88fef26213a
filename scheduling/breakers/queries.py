"""Queries of circuit breakers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.db.models.functions import JSONObject

from scheduling.breakers.rules import BLOCKING
from scheduling.models import Circuit

# The metric label of tenants' own dependencies: their names are private and unbounded.
OF_TENANTS = "(of a tenant)"
_COUNTED = ("kind", "subject", "circuits")


def list_circuits() -> QuerySet[Circuit]:
    """Return a queryset of the breakers in the current tenant context by kind, even if they only count failures."""
    circuits: QuerySet[Circuit] = Circuit.objects.select_related("tenant").order_by("kind", "dependency", "id")
    return circuits


def open_circuits_of_tenants() -> QuerySet[Circuit]:
    """Return a queryset of the breakers in the current tenant context that stop jobs, without the shared ones."""
    return list_circuits().filter(state__in=BLOCKING).exclude(tenant=None)


def list_circuits_before(tenant_id: UUID) -> QuerySet[Circuit]:
    """Return a queryset of a tenant's breakers and of the open shared ones; call it under ``all_tenants()``.

    A response to a tenant must omit the errors and counts of shared breakers: they come from other tenants' jobs too.
    """
    return list_circuits().filter(Q(tenant_id=tenant_id) | Q(tenant=None, state__in=BLOCKING))


def dependency_label(dependency: str, *, is_shared: bool) -> str:
    """Return the metric label of a dependency.

    This is its name if it is shared, `OF_TENANTS` if it is a tenant's, and empty for the kind itself.
    """
    return dependency if is_shared or not dependency else OF_TENANTS


def count_open_circuits() -> dict[tuple[str, str], int]:
    """Return the number of open breakers by kind and dependency label."""
    return read_open_circuits(_open_circuits())


def open_circuits() -> ArraySubquery:
    """Return a subquery expression with the rows of `count_open_circuits`; decode it with `read_open_circuits`."""
    return ArraySubquery(_open_circuits().values(counts=JSONObject(**{name: F(name) for name in _COUNTED})))


def read_open_circuits(column: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """Return the numbers of open breakers by kind and dependency label, from the value of `open_circuits`."""
    return {(each["kind"], each["subject"]): each["circuits"] for each in column}


def _open_circuits() -> QuerySet[Circuit, Any]:
    subject = Case(When(Q(tenant=None) | Q(dependency=""), then="dependency"), default=Value(OF_TENANTS))
    counted = Circuit.objects.filter(state__in=BLOCKING).order_by().values("kind", subject=subject)
    return counted.annotate(circuits=Count("id"))
