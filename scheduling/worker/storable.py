"""Making what processors hand over fit to be stored: JSON of bounded size, without what PostgreSQL refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scheduling.processors.base import PermanentError
from scheduling.services.settlement import storable_text


def storable_json(value: Any, *, what: str, max_bytes: int) -> Any:
    """``value`` as plain JSON with NUL and lone surrogates replaced.

    Raises PermanentError with the code ``<what>_invalid`` or ``<what>_too_large``.
    """
    try:
        clean = _clean(value)
        size = len(json.dumps(clean, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"The {what} is no JSON: {error}", code=f"{what}_invalid") from error
    if size > max_bytes:
        raise PermanentError(f"The {what} has {size} bytes; at most {max_bytes} are kept.", code=f"{what}_too_large")
    return clean


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(key) if isinstance(key, str) else key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
