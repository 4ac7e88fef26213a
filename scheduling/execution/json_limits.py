"""Conversion of values from processors to JSON that can be stored: of limited size, and accepted by PostgreSQL."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.utils.functional import Promise

from scheduling.kit.base import PermanentError

MAX_PATH_CHARACTERS: Final = 200


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


# The types that Celery's JSON serializer accepts beside JSON, with the functions that convert them to strings.
_STRINGS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (Promise, str),
    (datetime, datetime.isoformat),
    (date, date.isoformat),
    (time, time.isoformat),
    (Decimal, str),
    (UUID, str),
    (bytes, _text_of),
)


# A place in a value: its parent, and the mark and name below it. Building a text for each place would cost as much as
# its depth.
type _Path = tuple[_Path | None, str, object]


class _CannotStoreError(Exception):
    """The error for a nested value that JSON or PostgreSQL cannot hold."""


def storable_json(value: Any, *, what: str, max_bytes: int) -> Any:
    """Return ``value`` as plain JSON, with NUL and lone surrogates replaced.

    Raise PermanentError with the code ``<what>_invalid``, with the path and type of what cannot be stored, or
    ``<what>_too_large``.
    """
    return _checked(lambda: _plain(value, (None, "", what), _cleaned), what, max_bytes)


def storable_result(value: Any, *, max_bytes: int) -> Any:
    """Return a result as plain JSON, with datetimes, Decimals, UUIDs, bytes and the like as strings.

    Raise PermanentError as `storable_json` does, and also for text that PostgreSQL cannot hold: a result is stored
    unchanged or not at all.
    """
    return _checked(lambda: _plain(value, (None, "", "result"), _whole, _string_of), "result", max_bytes)


def _checked(make: Callable[[], Any], what: str, max_bytes: int) -> Any:
    try:
        clean = make()
        size = len(json.dumps(clean, allow_nan=False, ensure_ascii=False).encode())
    except _CannotStoreError as error:
        raise PermanentError(str(error), code=f"{what}_invalid") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"The {what} is not JSON: {error}", code=f"{what}_invalid") from error
    if size > max_bytes:
        raise PermanentError(f"The {what} has {size} bytes; the limit is {max_bytes}.", code=f"{what}_too_large")
    return clean


def _plain(
    value: Any, path: _Path, text: Callable[[str, _Path], str], other: Callable[[Any], Any] = lambda value: None
) -> Any:
    match value:
        case str():
            return text(value, path)
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise _CannotStoreError(f"{_cut(path)}: the number {value} cannot be stored.")
            return value
        case Mapping():
            return {_key(key, path, text): _plain(item, (path, ".", key), text, other) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, (path, "[", index), text, other) for index, item in enumerate(value)]
    if (replaced := other(value)) is not None:
        return _plain(replaced, path, text, other)
    raise _CannotStoreError(f"{_cut(path)}: object of type {type(value).__qualname__} cannot be stored.")


def _string_of(value: Any) -> Any:
    """Return the string for a value that Celery's serializer accepts; None for any other."""
    if (reduce := getattr(value, "__json__", None)) is not None:
        return reduce()
    return next((write(value) for kind, write in _STRINGS if isinstance(value, kind)), None)


def _key(key: Any, path: _Path, text: Callable[[str, _Path], str]) -> Any:
    if isinstance(key, str):
        return text(key, path)
    if key is None or isinstance(key, int | float):
        return key  # JSON writes them as strings
    raise _CannotStoreError(f"{_cut(path)}: a key of type {type(key).__qualname__} cannot be stored.")


def _cleaned(text: str, path: _Path) -> str:
    return storable_text(text)


def _whole(text: str, path: _Path) -> str:
    if storable_text(text) != text:
        raise _CannotStoreError(f"{_cut(path)}: a text with NUL or a lone surrogate cannot be stored.")
    return text


def _cut(path: _Path | None) -> str:
    parts: list[str] = []
    while path is not None:
        path, mark, name = path
        parts.append(f"{mark}{name}]" if mark == "[" else f"{mark}{name}")
    text = "".join(reversed(parts))
    return storable_text(text if len(text) <= MAX_PATH_CHARACTERS else f"{text[:MAX_PATH_CHARACTERS]}…")


def storable_text(text: str) -> str:
    """Return the text with what PostgreSQL cannot store replaced: NUL characters and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
