"""Look-up of the model that a request needs: by its endpoint and name, by the tenant's default, or the platform's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.db.models.functions import Coalesce

from scheduling.kit.base import PermanentError
from scheduling.kit.http import open_header
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from workloads.model_endpoints.endpoints import MODEL_LIMITS, PLATFORM, ModelConfiguration, PerMinute, platform_model
from workloads.model_endpoints.models import EndpointModel, ModelEndpoint, ModelUse, UsageDay


def endpoint_names(tenant_id: UUID) -> list[str]:
    """Return the names by which a node can refer to endpoints: the tenant's, and the platform's."""
    with tenant_context(tenant_id):
        return [PLATFORM, *ModelEndpoint.objects.order_by("name").values_list("name", flat=True)]


def get_model(
    tenant_id: UUID, *, endpoint: str = "", model: str = "", use: str = ModelUse.CHAT, is_strict: bool = True
) -> ModelConfiguration:
    """Return the configuration of a tenant's model, with its key opened.

    Without ``endpoint``, it is the first enabled one by name that lists the model. Without ``model``, it is the
    endpoint's first model of that use, the tenant's default before others. Without both, it is the tenant's default.
    A chat model that no endpoint of the tenant has is the platform's, if the platform has an endpoint. Unless
    ``is_strict``, an endpoint that does not list the model serves another of the same use.

    Raise `PermanentError` for what cannot be found or is disabled, and the errors of `open_header`.
    """
    if endpoint == PLATFORM and use == ModelUse.CHAT:
        return platform_model(model, is_strict=is_strict)
    with tenant_context(tenant_id):
        found = _find_model(endpoint, model, use, is_strict=is_strict)
    if found is None:
        return platform_model(model)
    if not found.endpoint.is_enabled:
        raise PermanentError(
            f"The model endpoint {found.endpoint.name!r} is disabled: enable it, or name another.",
            code="model_endpoint_disabled",
        )
    return configure(found)


def model_rows(tenant_id: UUID, use: str) -> QuerySet[EndpointModel]:
    """Return the models of a tenant's enabled endpoints that are called for a use, for the scope of the tenant."""
    rows = EndpointModel.objects.select_related("endpoint").filter(use=use, endpoint__is_enabled=True)
    return rows.filter(tenant_id=tenant_id).order_by("endpoint__name", "name")


def chat_model_names(tenant_id: UUID) -> list[str]:
    """Return the chat models of a tenant's enabled endpoints, each as `endpoint/model`."""
    with tenant_context(tenant_id):
        return [f"{row.endpoint.name}/{row.name}" for row in model_rows(tenant_id, ModelUse.CHAT)]


def configure(row: EndpointModel) -> ModelConfiguration:
    """Return the configuration of a listed model, with its key opened; raise the errors of `open_header`."""
    endpoint = row.endpoint
    scope = f"{row.tenant_id}:{endpoint.name}"
    return ModelConfiguration(
        url=endpoint.url.rstrip("/"),
        model=row.name,
        key=open_header(row.tenant_id, endpoint.url, endpoint.key) if endpoint.key else "",
        endpoint=endpoint.name,
        dimensions=row.dimensions,
        sends_dimensions=row.sends_dimensions,
        limits=replace(
            MODEL_LIMITS,
            connect_seconds=endpoint.connect_seconds,
            read_seconds=endpoint.read_seconds,
            total_seconds=endpoint.total_seconds,
        ),
        rates=(
            PerMinute(scope, endpoint.requests_per_minute, endpoint.tokens_per_minute),
            PerMinute(f"{scope}:{row.name}", row.requests_per_minute, row.tokens_per_minute),
        ),
        tokens_per_month=row.tokens_per_month,
        input_price=row.input_price,
        output_price=row.output_price,
    )


def tokens_of_month(endpoint: str, model: str = "") -> int:
    """Return the tokens that the tenant of the current scope has used since the first of the month (UTC).

    They are those of one model, or of all models of the endpoint.
    """
    since = read_clock().astimezone(UTC).date().replace(day=1)
    rows = UsageDay.objects.filter(day__gte=since, endpoint=endpoint, **({"model": model} if model else {}))
    used: int = rows.aggregate(used=Coalesce(Sum("prompt_tokens") + Sum("completion_tokens"), 0))["used"]
    return used


def _find_model(endpoint: str, model: str, use: str, *, is_strict: bool) -> EndpointModel | None:
    """Return the row of a model; None if the platform's endpoint has to serve it. Raise `PermanentError`."""
    rows = EndpointModel.objects.select_related("endpoint").filter(use=use)
    rows = rows.order_by("-is_default", "endpoint__name", "name")
    if endpoint:
        rows = rows.filter(endpoint__name=endpoint)
        found = rows.filter(name=model).first() if model else None
        if found is None and not (model and is_strict):
            found = rows.first()
        if found is None:
            raise _unknown(endpoint, model, use)
        return found
    if model:
        found = rows.filter(name=model, endpoint__is_enabled=True).first()
    else:
        found = rows.filter(is_default=True).first()
    if found is None and use != ModelUse.CHAT:
        raise PermanentError(f"No enabled model endpoint lists the {use} model {model!r}.", code="unknown_model")
    return found


def _unknown(endpoint: str, model: str, use: str) -> PermanentError:
    if not ModelEndpoint.objects.filter(name=endpoint).exists():
        return PermanentError(f"There is no model endpoint {endpoint!r}.", code="unknown_endpoint")
    named = f"the {use} model {model!r}" if model else f"a model for the use {use!r}"
    return PermanentError(f"The model endpoint {endpoint!r} does not list {named}: add it.", code="unknown_model")
