"""Reads of model endpoints, of their models and of the tokens that were used."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Prefetch, QuerySet, Value
from django.db.models.functions import Concat

from scheduling.breakers.queries import open_circuits_of_tenants
from tenants.database.reads import first_or_raise
from workloads.model_endpoints.endpoints import BREAKER_MARK
from workloads.model_endpoints.exceptions import ModelEndpointNotFoundError
from workloads.model_endpoints.models import EndpointModel, ModelEndpoint, UsageDay


def list_endpoints() -> QuerySet[ModelEndpoint]:
    """Return a queryset of the endpoints of the current scope by name, with their models.

    ``open_breakers`` of each are the names of the breakers of its models that are open.
    """
    models = Prefetch("models", EndpointModel.objects.order_by("name"))
    own = Concat(OuterRef("name"), Value(BREAKER_MARK))
    breakers = open_circuits_of_tenants().filter(tenant_id=OuterRef("tenant_id"), dependency__startswith=own)
    endpoints: QuerySet[ModelEndpoint] = ModelEndpoint.objects.select_related("tenant").prefetch_related(models)
    named = breakers.order_by("dependency").values("dependency")
    return endpoints.annotate(open_breakers=ArraySubquery(named)).order_by("name", "id")


def get_endpoint(endpoint_id: UUID) -> ModelEndpoint:
    """Return an endpoint of the current scope with its models. Raise `ModelEndpointNotFoundError` if there is none."""
    return first_or_raise(list_endpoints().filter(pk=endpoint_id), ModelEndpointNotFoundError)


def find_usage(*, since: date | None = None, until: date | None = None, model: str = "") -> QuerySet[UsageDay]:
    """Return a queryset of the usage of the current scope, newest day first: of those days, both included."""
    rows: QuerySet[UsageDay] = UsageDay.objects.order_by("-day", "endpoint", "model", "id")
    rows = rows.filter(day__gte=since) if since else rows
    rows = rows.filter(day__lte=until) if until else rows
    return rows.filter(model=model) if model else rows
