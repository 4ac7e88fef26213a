"""Services that create, change and delete model endpoints. Each change is one transaction with its audit entry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from scheduling.kit.http import refusal_of
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.locks import LockClass
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tenants.secrets.references import is_reference
from tenants.secrets.service import require_use_of_secrets
from tenants.tenancy.changes import assign
from workloads.model_endpoints.endpoints import PLATFORM
from workloads.model_endpoints.exceptions import (
    ModelEndpointNameTakenError,
    TooManyModelEndpointsError,
)
from workloads.model_endpoints.models import (
    DEFAULT_FAULT,
    DIMENSIONS_FAULT,
    ENDPOINT_FIELDS,
    MAX_DIMENSIONS,
    MAX_PER_MINUTE,
    MODEL_FIELDS,
    EndpointModel,
    ModelEndpoint,
    ModelUse,
)
from workloads.model_endpoints.queries import get_endpoint

MAX_ENDPOINTS: Final = 50
MAX_MODELS: Final = 100
MAX_SECONDS: Final = 3_600.0
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TIMEOUTS: Final = ("connect_seconds", "read_seconds", "total_seconds")
_RATES: Final = ("requests_per_minute", "tokens_per_minute")
type Values = Mapping[str, Any]


def create_endpoint(*, tenant: Tenant, name: str, models: Sequence[Values] = (), **values: Any) -> ModelEndpoint:
    """Create a model endpoint with its models.

    Raise `FieldInvalidError`, `ModelEndpointNameTakenError`, `TooManyModelEndpointsError` or `SecretUseDeniedError`.
    """
    if not _NAME.fullmatch(name) or name == PLATFORM:
        raise FieldInvalidError.at(
            "name",
            gettext("Use up to 40 lower-case letters, digits and underscores, first a letter, but not %(taken)s.")
            % {"taken": PLATFORM},
        )
    check_endpoint(values)
    checked = check_models(models)
    with tenant_context(tenant):
        LockClass.EDITED_ROW.hold(f"model_endpoints:{tenant.pk}")
        if ModelEndpoint.objects.count() >= MAX_ENDPOINTS:
            raise TooManyModelEndpointsError(
                "A tenant may have at most %(limit)s model endpoints.", {"limit": MAX_ENDPOINTS}
            )
        endpoint = ModelEndpoint(tenant=tenant, name=name)
        assign(endpoint, values)
        try:
            with transaction.atomic():
                endpoint.save(force_insert=True)
        except IntegrityError as error:
            raise ModelEndpointNameTakenError("The model endpoint %(name)r already exists.", {"name": name}) from error
        _store_models(endpoint, checked)
        record_audit(action="model_endpoint.created", target=endpoint, after=facts_of(endpoint))
        return get_endpoint(endpoint.pk)


@transaction.atomic
def update_endpoint(*, endpoint_id: UUID, changes: Values, reason: str = "") -> ModelEndpoint:
    """Change fields of an endpoint of the current scope. ``models`` among them replaces the whole list of its models.

    Raise the errors of `create_endpoint`.
    """
    endpoint = get_endpoint(endpoint_id)
    with tenant_context(endpoint.tenant):
        LockClass.EDITED_ROW.hold(f"model_endpoints:{endpoint.tenant_id}")
        before = facts_of(endpoint)
        # What stays as it is, such as an address from before a stricter rule, blocks no other change.
        own = {n: value for n, value in changes.items() if n != "models" and value != getattr(endpoint, n, None)}
        check_endpoint({**{name: getattr(endpoint, name) for name in _TIMEOUTS}, **own})
        if assign(endpoint, own):
            endpoint.save()
        if "models" in changes:
            _store_models(endpoint, check_models(changes["models"]))
        after = facts_of(endpoint)
        changed = [name for name in after if after[name] != before[name]]
        if changed:
            record_audit(
                action="model_endpoint.changed",
                target=endpoint,
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
                reason=reason,
            )
        return get_endpoint(endpoint_id)


@transaction.atomic
def delete_endpoint(*, endpoint: ModelEndpoint, reason: str = "") -> None:
    """Delete an endpoint with its models; its usage is kept, and nodes that name it fail."""
    with tenant_context(endpoint.tenant):
        record_audit(action="model_endpoint.deleted", target=endpoint, before=facts_of(endpoint), reason=reason)
        endpoint.delete()


def check_endpoint(values: Values) -> None:
    """Raise `FieldInvalidError` or `SecretUseDeniedError` for the first value of an endpoint that cannot be stored."""
    if unknown := values.keys() - set(ENDPOINT_FIELDS):
        raise TypeError(f"A model endpoint has no {', '.join(sorted(unknown))}.")
    if "url" in values and (refusal := refusal_of(values["url"])):
        raise FieldInvalidError.at("url", refusal)
    if values.get("key"):
        if not is_reference(values["key"]):
            raise FieldInvalidError.at("key", gettext("Write a reference to a stored secret: {{ secrets.name }}."))
        require_use_of_secrets()
    for name in _TIMEOUTS:
        if name in values and not 0.1 <= values[name] <= MAX_SECONDS:
            raise FieldInvalidError.at(
                name, gettext("It must lie between 0.1 and %(limit)s s.") % {"limit": f"{MAX_SECONDS:g}"}
            )
    _check_rates(values, "")


def check_models(models: Sequence[Values]) -> list[dict[str, Any]]:
    """Return the values of an endpoint's models as they are stored; raise `FieldInvalidError` for an invalid one."""
    if len(models) > MAX_MODELS:
        raise FieldInvalidError.at(
            "models", gettext("An endpoint lists at most %(limit)s models.") % {"limit": MAX_MODELS}
        )
    names = [model["name"] for model in models]
    for number, model in enumerate(models):
        place = f"models.{number}"
        if not model["name"].isprintable():
            raise FieldInvalidError.at(f"{place}.name", gettext("It must have printable characters only."))
        if model["name"] in names[:number]:
            raise FieldInvalidError.at(
                f"{place}.name", gettext("The name %(name)s is taken.") % {"name": model["name"]}
            )
        is_embedding, dimensions = model["use"] == ModelUse.EMBEDDING, model.get("dimensions")
        if is_embedding is not (dimensions is not None) or (dimensions and not 1 <= dimensions <= MAX_DIMENSIONS):
            raise FieldInvalidError.at(f"{place}.dimensions", str(DIMENSIONS_FAULT))
        if model.get("is_default") and model["use"] != ModelUse.CHAT:
            raise FieldInvalidError.at(f"{place}.is_default", str(DEFAULT_FAULT))
        _check_rates(model, f"{place}.")
    if sum(bool(model.get("is_default")) for model in models) > 1:
        raise FieldInvalidError.at("models", gettext("Only one model can be the default."))
    return [{name: value for name, value in model.items() if name in MODEL_FIELDS} for model in models]


def facts_of(endpoint: ModelEndpoint) -> dict[str, Any]:
    """Return the values of an endpoint and of its models, as the audit log stores them."""
    models = [model.values() for model in endpoint.models.order_by("name")]
    return {**{name: getattr(endpoint, name) for name in ("name", *ENDPOINT_FIELDS)}, "models": models}


def _check_rates(values: Values, place: str) -> None:
    for name in _RATES:
        value = values.get(name)
        if value is not None and not 1 <= value <= MAX_PER_MINUTE:
            raise FieldInvalidError.at(
                f"{place}{name}", gettext("It must lie between 1 and %(limit)s.") % {"limit": f"{MAX_PER_MINUTE:,}"}
            )


def _store_models(endpoint: ModelEndpoint, models: Sequence[Values]) -> None:
    """Make these the models of the endpoint: rows are kept by their names."""
    stored = {model.name: model for model in endpoint.models.select_for_update(no_key=True)}
    names = {model["name"] for model in models}
    for name, row in stored.items():
        if name not in names:
            row.delete()
    if any(model.get("is_default") for model in models):
        EndpointModel.objects.filter(is_default=True).update(is_default=False)
    for model in models:
        row = stored.get(model["name"]) or EndpointModel(tenant_id=endpoint.tenant_id, endpoint=endpoint)
        blank = {field: EndpointModel._meta.get_field(field).get_default() for field in MODEL_FIELDS}  # type: ignore[union-attr]
        assign(row, {**blank, **model})
        row.save()
