"""The JSON Schema of a pipeline's definition, its validation, and the settings that a run reads from it.

The code is pure: whether its dataset and files exist is checked when a definition is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.utils.translation import gettext
from jsonschema import Draft202012Validator

from scheduling.kit.http import UrlRefusedError, read_target, refusal_of
from tenants.schema_faults import describe_fault
from tenants.tenancy.bases import find_invisible_character
from workloads.documents.split_settings import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_OVERLAP,
    MAX_CHUNK_SIZE,
    MAX_PARENT_SIZE,
    MIN_CHUNK_SIZE,
    SizeUnit,
)
from workloads.pipelines.indexing_settings import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CHARACTERS,
    DEFAULT_HEADING_LEVEL,
    MAX_BATCH_SIZE,
    MAX_CHARACTERS,
    MODES,
    read_settings,
)

MAX_SOURCES: Final = 1_000
MAX_TEXT_CHARACTERS: Final = 100_000
# Faults listed at most.
MAX_FAULTS: Final = 20
UUID_PATTERN: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

HEADERS: Final = {"type": "object", "maxProperties": 20, "additionalProperties": {"type": "string", "maxLength": 8_000}}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255}
_SOURCE: Final[Mapping[str, Any]] = {
    "description": "One entity of a run: an uploaded file, a web page, or a text.",
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"enum": ["file", "url", "text"]}},
    "allOf": [
        {
            "if": {"required": ["type"], "properties": {"type": {"const": "file"}}},
            "then": {
                "required": ["file"],
                "properties": {
                    "type": True,
                    "file": {"type": "string", "pattern": UUID_PATTERN, "description": "The id of an uploaded file."},
                    "name": _NAME,
                },
                "additionalProperties": False,
            },
        },
        {
            "if": {"required": ["type"], "properties": {"type": {"const": "url"}}},
            "then": {
                "required": ["url"],
                "properties": {
                    "type": True,
                    "url": {"type": "string", "minLength": 1, "maxLength": 4_000},
                    "headers": HEADERS,
                    "name": _NAME,
                },
                "additionalProperties": False,
            },
        },
        {
            "if": {"required": ["type"], "properties": {"type": {"const": "text"}}},
            "then": {
                "required": ["name", "text"],
                "properties": {
                    "type": True,
                    "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS},
                    "name": {**_NAME, "description": "Its extension gives its type: .txt, .md, .html or .csv."},
                },
                "additionalProperties": False,
            },
        },
    ],
}
SOURCES_SCHEMA: Final[Mapping[str, Any]] = {"type": "array", "maxItems": MAX_SOURCES, "items": _SOURCE}
SCHEMA: Final[Mapping[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Pipeline definition",
    "description": "datasource → extract → clean → split → embed → load",
    "type": "object",
    "required": ["load"],
    "additionalProperties": False,
    "properties": {
        "datasource": {
            "description": "Sources of runs whose request names none.",
            "type": "object",
            "additionalProperties": False,
            "properties": {"sources": SOURCES_SCHEMA},
        },
        "extract": {
            "description": "Extraction of text from PDF, DOCX, HTML, Markdown, plain text and CSV.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "max_characters": {
                    "type": "integer",
                    "minimum": 1_000,
                    "maximum": MAX_CHARACTERS,
                    "default": DEFAULT_CHARACTERS,
                    "description": "An entity with more text fails.",
                }
            },
        },
        "clean": {
            "description": "Control characters, running headers and spare blanks are always removed.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "remove_urls": {"type": "boolean", "default": False},
                "remove_emails": {"type": "boolean", "default": False},
            },
        },
        "split": {
            "description": "`fixed`: pieces up to a maximum size. The others are the chunkings of datasets; "
            "`markdown` is that by heading.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "mode": {"enum": list(MODES), "default": "fixed"},
                "size_unit": {"enum": SizeUnit.values, "default": SizeUnit.TOKENS.value},
                "chunk_size": {
                    "type": "integer",
                    "minimum": MIN_CHUNK_SIZE,
                    "maximum": MAX_CHUNK_SIZE,
                    "default": DEFAULT_CHUNK_SIZE,
                    "description": "Maximum of a chunk; at most 1,000 tokens.",
                },
                "chunk_overlap": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": MAX_CHUNK_SIZE // 2,
                    "default": DEFAULT_OVERLAP,
                    "description": "How much a chunk repeats from the previous one; at most half of a chunk.",
                },
                "parent_size": {
                    "type": "integer",
                    "minimum": MIN_CHUNK_SIZE,
                    "maximum": MAX_PARENT_SIZE,
                    "description": "`parent_child` only: the maximum of the passage that searches return; four chunks.",
                },
                "heading_level": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 6,
                    "default": DEFAULT_HEADING_LEVEL,
                    "description": "`markdown` only: the lowest heading that begins a section.",
                },
            },
        },
        "embed": {
            "description": "By the platform's embedding model, which must be the dataset's.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "batch_size": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_BATCH_SIZE,
                    "default": DEFAULT_BATCH_SIZE,
                    "description": "Chunks embedded and stored at a time.",
                }
            },
        },
        "load": {
            "type": "object",
            "required": ["dataset"],
            "additionalProperties": False,
            "properties": {
                "dataset": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 100,
                    "description": "The dataset by its id or name; a saved version keeps the dataset that it named.",
                }
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class PipelineFault:
    """A fault in a definition; ``field`` is its position as a JSON path."""

    field: str
    detail: str
    code: str = "definition_invalid"

    def as_json(self) -> dict[str, str]:
        """Return the fault as an item of ``errors`` in a problem response."""
        return {"field": self.field, "code": self.code, "detail": self.detail}


def find_faults(definition: object) -> list[PipelineFault]:
    """Return the faults of a definition, each with its position; an empty list if it is valid."""
    faults = _schema_faults(SCHEMA, definition, "$")
    if faults or not isinstance(definition, Mapping):
        return faults
    split = read_settings(definition).split_settings
    faults.extend(PipelineFault(f"$.split.{name}", detail) for name, detail in split.find_faults())
    sources = sources_of(definition)
    return faults + (_source_faults(sources, "$.datasource.sources") or _address_faults(sources))


def find_source_faults(sources: object, place: str = "$.sources") -> list[PipelineFault]:
    """Return the faults of the sources that were requested for a run, each with its position."""
    faults = _schema_faults(SOURCES_SCHEMA, sources, place)
    return faults or _source_faults(sources, place)  # type: ignore[arg-type] # the schema has said so


def sources_of(definition: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the sources in a valid definition."""
    sources: Sequence[Mapping[str, Any]] = definition.get("datasource", {}).get("sources", ())
    return sources


def _schema_faults(schema: Mapping[str, Any], value: object, root: str) -> list[PipelineFault]:
    found = []
    for error in _validator(schema is SCHEMA).iter_errors(value):
        found.append(PipelineFault(root + error.json_path[1:], describe_fault(error)))
        if len(found) == MAX_FAULTS:
            break
    return found


@cache
def _validator(is_whole: bool) -> Any:  # noqa: FBT001 - a key of the cache
    return Draft202012Validator(SCHEMA if is_whole else SOURCES_SCHEMA)


def _address_faults(sources: Sequence[Mapping[str, Any]]) -> list[PipelineFault]:
    """Return the URLs that no run may call; those that a run names are refused one by one, by its entities."""
    return [
        PipelineFault(f"$.datasource.sources[{index}].url", refusal, "address_refused")
        for index, source in enumerate(sources)
        if source["type"] == "url" and (refusal := refusal_of(source["url"]))
    ][:MAX_FAULTS]


def _source_faults(sources: Sequence[Mapping[str, Any]], place: str) -> list[PipelineFault]:
    """Return the faults that no schema can express: refused URLs and invisible characters in names."""
    faults = []
    for index, source in enumerate(sources):
        if find_invisible_character(source.get("name", "")) is not None:
            faults.append(
                PipelineFault(f"{place}[{index}].name", gettext("It contains an invisible character."), "name_invalid")
            )
        if source["type"] != "url":
            continue
        try:
            read_target(source["url"])
        except UrlRefusedError as refusal:
            faults.append(PipelineFault(f"{place}[{index}].url", str(refusal), "url_refused"))
    return faults[:MAX_FAULTS]
