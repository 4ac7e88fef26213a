"""The JSON Schema of the sources of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_SOURCES: Final = 1_000
MAX_TEXT_CHARACTERS: Final = 100_000
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
