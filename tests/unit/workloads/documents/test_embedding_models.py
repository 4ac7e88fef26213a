"""The platform's embedding models, from its settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from scheduling.kit.base import Dependency, PermanentError
from tenants.database.platform_settings import find_faults
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import embedding_models
from workloads.documents.embedding import ApiEmbedder
from workloads.documents.embedding_models import LOCAL_MODEL, embedder_of, list_models

ENTRY = {"url": "https://embed.test/v1", "model": "text-large", "dimensions": 3_072}


def test_models_are_the_local_one_and_those_of_the_settings(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(EMBEDDING_MODELS={"large": {**ENTRY, "price": 0.13}})
    models = list_models(None)
    assert list(models) == [LOCAL_MODEL.name, "large"]
    assert (models["large"].dimensions, models["large"].price) == (3_072, 0.13)
    embedder = embedder_of(None, "large")
    assert isinstance(embedder, ApiEmbedder)
    assert embedder.dependency == Dependency("embeddings:large", is_shared=True)
    with pytest.raises(PermanentError, match="gone no longer exists") as refused:
        embedder_of(None, "gone")
    assert refused.value.code == "embedding_model_mismatch"


def test_local_embedder_is_created_once_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    together = Barrier(2)

    def creating() -> object:
        with suppress(BrokenBarrierError):
            together.wait(timeout=0.2)
        return object()

    embedding_models._build_local_embedder.cache_clear()
    monkeypatch.setattr(embedding_models, "LocalEmbedder", creating)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: embedder_of(None, LOCAL_MODEL.name), range(2))
    embedding_models._build_local_embedder.cache_clear()
    assert first is second


@pytest.mark.parametrize(
    "entries",
    [
        {"m": {}},
        {"m": {**ENTRY, "dimensions": 0}},
        {"m": {**ENTRY, "dimensions": 4_001}},
        {"m": {**ENTRY, "dimensions": True}},
        {"m": {**ENTRY, "url": ""}},
        {"m": {**ENTRY, "model": 7}},
        {"m": {**ENTRY, "price": -1}},
        {"m": {**ENTRY, "price": float("inf")}},
        {"m": {**ENTRY, "sends_dimensions": "no"}},
        {"m": {**ENTRY, "other": 1}},
        {"a/b": ENTRY},
        {"": ENTRY},
        {LOCAL_MODEL.name: ENTRY},
    ],
    ids=str,
)
def test_faulty_entry_is_refused_with_the_settings(entries: dict[str, Any]) -> None:
    [fault] = find_faults({"EMBEDDING_MODELS": entries})
    assert fault.startswith("Each entry of EMBEDDING_MODELS")


def test_default_model_must_exist() -> None:
    assert not list(find_faults({"EMBEDDING_MODEL": "large", "EMBEDDING_MODELS": {"large": ENTRY}}))
    assert list(find_faults({"EMBEDDING_MODEL": "large"}))
    assert list(find_faults({"EMBEDDING_MODELS": {"large": "text"}})) == [
        "EMBEDDING_MODELS is of type dict; it must be dict of dict."
    ]
