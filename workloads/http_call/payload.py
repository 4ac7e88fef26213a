"""The JSON Schema of the payload of an HTTP call, and the request that a payload describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scheduling.kit.http import METHODS, RESERVED_HEADERS, Limits

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
MAX_TIMEOUT_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
DEFAULT_IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
# No more of a response is read; less of it is stored.
MAX_ANSWER_BYTES: Final = 1024 * 1024

_RESERVED = "|".join(sorted(RESERVED_HEADERS))
_HEADER_NAME: Final = {
    "type": "string",
    "maxLength": 200,
    "pattern": rf"^(?!(?i:{_RESERVED})\Z)[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z",
}
# Printable ASCII, without blanks at its ends.
_HEADER_VALUE: Final = r"^(?:[!-~](?:[ -~\t]*[!-~])?)?\Z"
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "maxLength": 4_000, "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"},
        "method": {"enum": list(METHODS)},
        "headers": {
            "type": "object",
            "maxProperties": 50,
            "propertyNames": _HEADER_NAME,
            "additionalProperties": {"type": "string", "maxLength": 8_192, "pattern": _HEADER_VALUE},
        },
        "json": True,
        "body": {"type": "string"},
        "timeout_seconds": {"type": "number", "minimum": 0.1, "maximum": MAX_TIMEOUT_SECONDS},
        "max_redirects": {"type": "integer", "minimum": 0, "maximum": 5},
        "expected_status": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {"type": "integer", "minimum": 200, "maximum": 599},
        },
        "idempotency_header": {"anyOf": [_HEADER_NAME, {"type": "null"}]},
    },
    "required": ["url"],
    # Either `json` or `body`.
    "dependentSchemas": {"json": {"not": {"required": ["body"]}}},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, and the statuses that count as success."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    limits: Limits
    expected: frozenset[int]

    def is_expected(self, status: int) -> bool:
        """Return whether a response with this status completes the job."""
        return status in self.expected if self.expected else 200 <= status < 300


def read_call(payload: Mapping[str, Any], *, idempotency_key: str) -> Call:
    """Return the request that a valid payload describes.

    ``idempotency_key`` is sent as a header, unless the payload turns that off or sets the header itself.
    """
    headers = dict(payload.get("headers", {}))
    method = payload.get("method") or ("POST" if {"json", "body"} & payload.keys() else "GET")
    body = str(payload.get("body", "")).encode()
    if "json" in payload:
        body = json.dumps(payload["json"], ensure_ascii=False, separators=(",", ":")).encode()
        _set_missing(headers, "Content-Type", "application/json")
    if (name := payload.get("idempotency_header", DEFAULT_IDEMPOTENCY_HEADER)) is not None:
        _set_missing(headers, name, idempotency_key)
    seconds = float(payload.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS))
    return Call(
        method=method,
        url=payload["url"],
        headers=tuple(headers.items()),
        body=body,
        limits=Limits(
            connect_seconds=min(CONNECT_SECONDS, seconds),
            read_seconds=seconds,
            total_seconds=seconds,
            body_bytes=MAX_ANSWER_BYTES,
            redirects=int(payload.get("max_redirects", 0)),
        ),
        expected=frozenset(payload.get("expected_status", ())),
    )


def _set_missing(headers: dict[str, str], name: str, value: str) -> None:
    if name.lower() not in {held.lower() for held in headers}:
        headers[name] = value
