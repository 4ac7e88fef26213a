"""Reads of circuit breakers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.db.models.functions import JSONObject

from scheduling.breakers.rules import BLOCKING
from scheduling.models import Circuit

# Stands for dependencies of tenants' own in a metric: their names are theirs, and without number.
OF_TENANTS = "(of a tenant)"
_COUNTED = ("kind", "subject", "circuits")


def list_circuits() -> QuerySet[Circuit]:
    """The breakers of the scope of the moment, those that count failures included, by kind."""
    circuits: QuerySet[Circuit] = Circuit.objects.select_related("tenant").order_by("kind", "dependency", "id")
    return circuits


def list_circuits_before(tenant_id: UUID) -> QuerySet[Circuit]:
    """The breakers of a tenant, and the shared ones that hold jobs back; read through the door.

    Whoever answers a tenant leaves out what a shared one says of others: their errors, and how many.
    """
    return list_circuits().filter(Q(tenant_id=tenant_id) | Q(tenant=None, state__in=BLOCKING))


def dependency_label(dependency: str, *, is_shared: bool) -> str:
    """A dependency as metrics name it: a shared one by its name, empty for the kind itself."""
    return dependency if is_shared or not dependency else OF_TENANTS


def count_open_circuits() -> dict[tuple[str, str], int]:
    """How many breakers hold jobs back, by kind and dependency; those of tenants' own dependencies count together."""
    return read_open_circuits(_open_circuits())


def open_circuits() -> ArraySubquery:
    """The same as a column of another statement, which `read_open_circuits` reads."""
    return ArraySubquery(_open_circuits().values(told=JSONObject(**{name: F(name) for name in _COUNTED})))


def read_open_circuits(column: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """How many by kind and dependency."""
    return {(each["kind"], each["subject"]): each["circuits"] for each in column}


def _open_circuits() -> QuerySet[Circuit, Any]:
    subject = Case(When(Q(tenant=None) | Q(dependency=""), then="dependency"), default=Value(OF_TENANTS))
    counted = Circuit.objects.filter(state__in=BLOCKING).order_by().values("kind", subject=subject)
    return counted.annotate(circuits=Count("id"))
