"""Reads of circuit breakers."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from scheduling.circuit import CircuitState
from scheduling.models import Circuit

BLOCKING = (CircuitState.OPEN, CircuitState.HALF_OPEN)


def list_circuits() -> QuerySet[Circuit]:
    """The breakers of the scope of the moment, those that count failures included, by kind."""
    circuits: QuerySet[Circuit] = Circuit.objects.select_related("tenant").order_by("kind", "id")
    return circuits


def count_open_circuits() -> dict[str, int]:
    """How many breakers are open or half open, by kind."""
    found = Circuit.objects.filter(state__in=BLOCKING).order_by().values_list("kind").annotate(circuits=Count("id"))
    return dict(found)
