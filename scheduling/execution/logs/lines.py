"""Conversion of logged values to lines that can be stored; it never raises."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scheduling.execution.json_limits import storable_text
from scheduling.execution.logs.service import LEVELS, Level, LogLine
from tenants.database.ids import uuid7

MAX_MESSAGE_BYTES = 4 * 1024
MAX_FIELDS_BYTES = 4 * 1024
MAX_DEPTH = 6
MAX_ITEMS = 100
# JSON readers keep integers exactly up to here.
MAX_INTEGER = 2**63
_CUT = "…"


def make_line(message: object, level: object, fields: Mapping[str, Any]) -> LogLine:
    """Return a log line; an unknown level counts as info, and a value that JSON lacks is stored as its text."""
    return LogLine(
        id=uuid7(),
        level=LEVELS.get(level, Level.INFO) if isinstance(level, str) else Level.INFO,
        message=_cut(_text(message), MAX_MESSAGE_BYTES),
        fields=_fields_text(fields),
        at=datetime.now(UTC),
    )


def _fields_text(fields: Mapping[str, Any]) -> str:
    """Return the fields as JSON of at most MAX_FIELDS_BYTES; ``_cut`` names those that do not fit."""
    kept: dict[str, str] = {}
    left_out: list[str] = []
    room = MAX_FIELDS_BYTES - 256
    for name, value in list(fields.items())[:MAX_ITEMS]:
        key = _cut(_text(name), 100)
        text = json.dumps(_plain(value, MAX_DEPTH), ensure_ascii=False)
        cost = len(text.encode()) + len(json.dumps(key, ensure_ascii=False).encode()) + 4
        if cost > room:
            left_out.append(key)
            continue
        room -= cost
        kept[key] = text
    left_out += [_cut(_text(name), 100) for name in list(fields)[MAX_ITEMS:]]
    if left_out:
        kept["_cut"] = json.dumps(_cut(", ".join(left_out), 100), ensure_ascii=False)
    return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {text}" for key, text in kept.items()) + "}"


def _plain(value: Any, depth: int) -> Any:
    """Return ``value`` reduced to types that JSON and PostgreSQL can store."""
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int and -MAX_INTEGER < value < MAX_INTEGER:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if depth and type(value) in {dict, list, tuple, set, frozenset}:
        items = list(value.items() if isinstance(value, dict) else value)
        if isinstance(value, dict):
            return {_cut(_text(key), 100): _plain(item, depth - 1) for key, item in items[:MAX_ITEMS]}
        return [_plain(item, depth - 1) for item in items[:MAX_ITEMS]]
    return _cut(_text(value), MAX_FIELDS_BYTES // 2)


def _text(value: object) -> str:
    try:
        return storable_text(str(value))
    except Exception:  # noqa: BLE001 - the object's own __str__ decides what it raises
        return f"<{type(value).__name__} without text>"


def _cut(text: str, max_bytes: int) -> str:
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
