"""Embedding models: their names, dimensions and prices, and the embedder of each. A dataset has the name of one.

The local encoder is always there; the setting EMBEDDING_MODELS adds endpoints, and EMBEDDING_MODEL names the default.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from scheduling.kit.base import PermanentError
from tenants.database.platform_settings import platform_settings
from workloads.documents.embedding import ApiEmbedder, Embedder, LocalEmbedder
from workloads.documents.platform_settings import LOCAL_MODEL_NAME

MODEL_GONE = "embedding_model_mismatch"


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


def find_models(tenant_id: UUID | None) -> Mapping[str, EmbeddingModel]:
    """Return the models that a tenant can use, by name; of None those that all can use."""
    del tenant_id  # no tenant has models of its own
    return {LOCAL_MODEL.name: LOCAL_MODEL} | {
        name: _model_of(name, entry) for name, entry in platform_settings.EMBEDDING_MODELS.items()
    }


def _model_of(name: str, entry: Mapping[str, Any]) -> EmbeddingModel:
    values = {"key": "", **entry, "name": name}
    price = values.pop("price", None)
    return EmbeddingModel(name, values["dimensions"], lambda: ApiEmbedder(**values), price)


def require_model(tenant_id: UUID | None, name: str) -> EmbeddingModel:
    """Return a model of a tenant; raise `PermanentError` if it does not exist, or no longer."""
    model = find_models(tenant_id).get(name)
    if model is None:
        raise PermanentError(
            f"The embedding model {name} no longer exists. Embed the dataset again by another one.", code=MODEL_GONE
        )
    return model


def embedder_of(tenant_id: UUID | None, name: str) -> Embedder:
    """Return the embedder of a tenant's model; raise `PermanentError` if there is no such model."""
    return require_model(tenant_id, name).make()


def load_embedder() -> None:
    """Load the platform's default model, so that the first search need not wait for it."""
    embedder_of(None, platform_settings.EMBEDDING_MODEL).load()
