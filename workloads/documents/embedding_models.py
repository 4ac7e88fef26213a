"""Embedding models: their names, dimensions and prices, and the embedder of each. A dataset has the name of one.

The local encoder is always there; the setting EMBEDDING_MODELS adds the platform's endpoints, and EMBEDDING_MODEL names
the default. A tenant adds models by its model endpoints.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.platform_settings import platform_settings
from workloads.documents.embedding import ApiEmbedder, Embedder, LocalEmbedder, TenantEmbedder
from workloads.documents.platform_settings import LOCAL_MODEL_NAME
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.limits import tokens_left
from workloads.model_endpoints.lookup import configure, model_rows
from workloads.model_endpoints.models import EndpointModel, ModelUse

MODEL_GONE = "embedding_model_mismatch"
# Between the names of a tenant's endpoint and of its model. No model of the platform has it in its name.
SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model that embeds texts. ``price`` is that of a million tokens, None if it has none.

    ``name`` is stored with each dataset, because vectors of different models cannot be compared: a model that computes
    other vectors has another name.
    """

    name: str
    dimensions: int
    make: Callable[[], Embedder]
    price: float | None = None


# Threads that ask at once would each load the local model.
_creating = threading.Lock()


def local_embedder() -> Embedder:
    """Return the local embedder, created once per process."""
    with _creating:
        return _build_local_embedder()


@cache
def _build_local_embedder() -> Embedder:
    return LocalEmbedder()


LOCAL_MODEL = EmbeddingModel(LOCAL_MODEL_NAME, 512, local_embedder)


def list_models(tenant_id: UUID | None) -> Mapping[str, EmbeddingModel]:
    """Return the models that a tenant can use, by name: the platform's, and those of its endpoints.

    Of None, they are the platform's.
    """
    platforms = [LOCAL_MODEL, *(_platform_model(*entry) for entry in platform_settings.EMBEDDING_MODELS.items())]
    return {model.name: model for model in (*platforms, *(_tenants_models(tenant_id) if tenant_id else ()))}


def find_model(tenant_id: UUID | None, name: str) -> EmbeddingModel | None:
    """Return a model of a tenant, or None. The database is read only for a model of its own endpoints."""
    if SEPARATOR in name:
        return list_models(tenant_id).get(name)
    if name == LOCAL_MODEL.name:
        return LOCAL_MODEL
    entry = platform_settings.EMBEDDING_MODELS.get(name)
    return _platform_model(name, entry) if entry else None


def _platform_model(name: str, entry: Mapping[str, Any]) -> EmbeddingModel:
    values = {"key": "", **entry}
    price = values.pop("price", None)
    values["url"] = values["url"].rstrip("/")
    model = ModelConfiguration(**values, endpoint=name, is_shared=True)
    return EmbeddingModel(name, values["dimensions"], lambda: ApiEmbedder(model), price)


def _tenants_models(tenant_id: UUID) -> list[EmbeddingModel]:
    with tenant_context(tenant_id):
        return [_tenants_model(row) for row in model_rows(tenant_id, ModelUse.EMBEDDING)]


def _tenants_model(row: EndpointModel) -> EmbeddingModel:
    """Return a model of an endpoint. Its name has the dimensions: another number of them makes another model."""

    def make() -> Embedder:
        model = configure(row)
        return TenantEmbedder(model, tokens_left=tokens_left(row.tenant_id, model))

    name = f"{row.endpoint.name}{SEPARATOR}{row.name}@{row.dimensions}"
    price = None if row.input_price is None else float(row.input_price)
    return EmbeddingModel(name, int(row.dimensions or 0), make, price)


def require_model(tenant_id: UUID | None, name: str) -> EmbeddingModel:
    """Return a model of a tenant; raise `PermanentError` if it does not exist, or no longer."""
    model = find_model(tenant_id, name)
    if model is None:
        raise PermanentError(
            f"The embedding model {name} no longer exists. Embed the dataset again by another one.", code=MODEL_GONE
        )
    return model


def embedder_of(tenant_id: UUID | None, name: str) -> Embedder:
    """Return the embedder of a tenant's model; raise `PermanentError` if there is no such model.

    That of a model of the tenant's endpoint has its key opened: raise the errors of `open_header`.
    """
    return require_model(tenant_id, name).make()


def load_embedder() -> None:
    """Load the platform's default model if it runs in this process, so that the first search need not wait for it."""
    embedder = embedder_of(None, platform_settings.EMBEDDING_MODEL)
    if embedder.dependency is None:
        embedder.embed(["warm"])
