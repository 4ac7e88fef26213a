"""The keys of JOBS_PLATFORM that documents and their search read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from tenants.database.platform_settings import PlatformSetting, PlatformSettingRule, declare

LOCAL_MODEL_NAME: Final = "use-multilingual-3"
MAX_MODEL_NAME_LENGTH: Final = 200
# The most that a half-precision index has.
MAX_DIMENSIONS: Final = 4_000
_OCR_ENGINES = ("off", "rapidocr", "docling", "tika")
_TEXTS = ("url", "key", "model")
_MEMBERS = frozenset({*_TEXTS, "dimensions", "sends_dimensions", "price"})


def are_entries_valid(entries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether each entry of EMBEDDING_MODELS has a name that is free, and members of the right types."""
    return all(
        0 < len(name) <= MAX_MODEL_NAME_LENGTH and "/" not in name and name != LOCAL_MODEL_NAME and _is_valid(entry)
        for name, entry in entries.items()
    )


def _is_valid(entry: Mapping[str, Any]) -> bool:
    dimensions, price = entry.get("dimensions"), entry.get("price", 0)
    return (
        entry.keys() <= _MEMBERS
        and all(isinstance(entry.get(name, ""), str) for name in _TEXTS)
        and bool(entry.get("url") and entry.get("model"))
        and type(dimensions) is int
        and 0 < dimensions <= MAX_DIMENSIONS
        and isinstance(entry.get("sends_dimensions", True), bool)
        and type(price) in {int, float}
        and 0 <= price < math.inf
    )


declare(
    PlatformSetting(
        "EMBEDDING_MODELS",
        {},
        "Embedding endpoints by the names of their models, as JSON.",
        item_type=dict,
    ),
    PlatformSettingRule(
        "Each entry of EMBEDDING_MODELS needs a free name, a url, a model and dimensions from 1 to 4,000.",
        lambda values: are_entries_valid(values.EMBEDDING_MODELS),
    ),
    PlatformSetting(
        "EMBEDDING_MODEL", LOCAL_MODEL_NAME, "Name of the embedding model of datasets whose tenant chooses none."
    ),
    PlatformSettingRule(
        "EMBEDDING_MODEL must be a name of EMBEDDING_MODELS, or the local encoder.",
        lambda values: values.EMBEDDING_MODEL in {LOCAL_MODEL_NAME, *values.EMBEDDING_MODELS},
    ),
    PlatformSetting("DOCUMENTS_OCR", "off", "What recognises the text of scanned pages.", choices=_OCR_ENGINES),
    PlatformSetting("DOCUMENTS_OCR_URL", "", "Address of docling-serve or Apache Tika, without a path."),
    PlatformSettingRule(
        "DOCUMENTS_OCR needs DOCUMENTS_OCR_URL for docling and tika.",
        lambda values: values.DOCUMENTS_OCR in {"off", "rapidocr"} or bool(values.DOCUMENTS_OCR_URL),
    ),
    PlatformSetting("RERANK_URL", "", "URL of an endpoint that re-ranks the results of searches; empty: none."),
    PlatformSetting("RERANK_KEY", "", "Key of the re-ranking endpoint."),
    PlatformSetting("RERANK_MODEL", "", "Model of the re-ranking endpoint; empty: it has one only."),
    # On two busy cores this many took 0.35 s by vector (512 dimensions) and 0.5 s by words; an approximate index loses
    # recall and is worth it only beyond.
    PlatformSetting(
        "EXACT_SEARCH_MAX_CHUNKS",
        100_000,
        "Maximum number of chunks of a dataset that is searched exactly, without an index.",
    ),
)
