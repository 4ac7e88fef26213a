"""The tenant settings of splitting documents: the defaults for new datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext, gettext_noop

from tenants.context import current_tenant_id
from tenants.database.platform_settings import platform_settings
from tenants.settings.schema import Setting, SettingGroup
from workloads.documents.embedding_models import list_models
from workloads.documents.platform_settings import MAX_MODEL_NAME_LENGTH
from workloads.documents.split_settings import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_OVERLAP,
    MAX_CHUNK_SIZES,
    MIN_CHUNK_SIZE,
    SizeUnit,
)

_MAX_TOKENS = MAX_CHUNK_SIZES[SizeUnit.TOKENS]
_LATER_DATASETS = gettext_noop("Applies to datasets created later.")
CHUNK_TOKENS = Setting(
    key="retrieval.chunk_tokens",
    title=gettext_noop("Chunk size in tokens"),
    help_text=gettext_noop("Maximum length of a document's passages, for datasets without a size of their own."),
    schema={"type": "integer", "minimum": MIN_CHUNK_SIZE, "maximum": _MAX_TOKENS},
    default=DEFAULT_CHUNK_SIZE,
    effect=_LATER_DATASETS,
)
CHUNK_OVERLAP_TOKENS = Setting(
    key="retrieval.chunk_overlap_tokens",
    title=gettext_noop("Chunk overlap in tokens"),
    help_text=gettext_noop("Length that a passage repeats from the previous one; at most half of a chunk."),
    schema={"type": "integer", "minimum": 0, "maximum": _MAX_TOKENS // 2},
    default=DEFAULT_OVERLAP,
    effect=_LATER_DATASETS,
)


def describe_unknown_model(name: str) -> str:
    """Return why there is no default model of this name, or an empty text."""
    names = list_models(current_tenant_id())
    if not name or name in names:
        return ""
    return gettext("There are these embedding models: %(models)s.") % {"models": ", ".join(names)}


EMBEDDING_MODEL = Setting(
    key="retrieval.embedding_model",
    title=gettext_noop("Embedding model"),
    help_text=gettext_noop("Name of the model that embeds datasets without one of their own; empty: the platform's."),
    schema={"type": "string", "maxLength": MAX_MODEL_NAME_LENGTH},
    default="",
    effect=_LATER_DATASETS,
    check=describe_unknown_model,
)


def default_model(settings: Mapping[str, Any]) -> str:
    """Return the name of the embedding model of new datasets, from a tenant's settings or those of the platform."""
    return str(settings[EMBEDDING_MODEL.key] or platform_settings.EMBEDDING_MODEL)


def check_overlap(values: Mapping[str, Any]) -> Mapping[str, str]:
    """Return an error for the overlap if it is more than half of the chunk size, else an empty dict."""
    if 2 * values[CHUNK_OVERLAP_TOKENS.key] > values[CHUNK_TOKENS.key]:
        return {CHUNK_OVERLAP_TOKENS.key: gettext("At most half of %(key)s.") % {"key": CHUNK_TOKENS.key}}
    return {}


SETTINGS = SettingGroup(
    gettext_noop("Datasets"), (CHUNK_TOKENS, CHUNK_OVERLAP_TOKENS, EMBEDDING_MODEL), check=check_overlap
)
