"""Parser of JSON that refuses what PostgreSQL cannot store, or what two parsers could read differently."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from tenants.exceptions import JsonInvalidError

MAX_DEPTH = 32
_INT64 = range(-(2**63), 2**63)
_INT64_DIGITS = 20  # with its sign
# Strings are skipped whole, an unterminated one to the end. Possessive, so that no input makes it quadratic.
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


def parse_json(body: bytes) -> Any:
    """Return the value of a UTF-8 JSON text.

    Raise `JsonInvalidError` for invalid JSON, duplicate keys, numbers out of range, deep nesting and unstorable
    strings.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonInvalidError("The body is not UTF-8 at byte %(position)s.", {"position": error.start}) from error
    _require_shallow(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_pairs,
            parse_int=_bounded_int,
            parse_float=_finite_float,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise JsonInvalidError(
            "%(message)s at line %(line)s, column %(column)s.",
            {"message": error.msg, "line": error.lineno, "column": error.colno},
        ) from error
    # Raw NULs and surrogates have failed already; only an escape can produce one.
    if "\\u" in text:
        _require_storable(value)
    return value


def _require_shallow(text: str) -> None:
    # Checked before parsing: Python's parser recurses, and deep nesting would exhaust its stack.
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        token = match.group()
        if token in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonInvalidError("The JSON is nested deeper than %(limit)s levels.", {"limit": MAX_DEPTH})
        elif token in ("]", "}"):
            depth -= 1


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonInvalidError("The key %(key)r occurs twice in one object.", {"key": twice[:100]})
    return result


def _bounded_int(digits: str) -> int:
    if len(digits) > _INT64_DIGITS or int(digits) not in _INT64:
        raise JsonInvalidError("The integer %(number)s does not fit into 64 bits.", {"number": digits[:30]})
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonInvalidError("The number %(number)s is too large.", {"number": digits[:30]})
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise JsonInvalidError("%(name)s is not JSON.", {"name": name})


def _require_storable(value: Any) -> None:
    """Refuse NUL and lone surrogates in every string. The depth is bounded already."""
    if isinstance(value, str):
        if "\x00" in value:
            raise JsonInvalidError("A string contains a NUL character.")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise JsonInvalidError("A string contains a lone surrogate.")
    elif isinstance(value, dict):
        for key, nested in value.items():
            _require_storable(key)
            _require_storable(nested)
    elif isinstance(value, list):
        for nested in value:
            _require_storable(nested)
