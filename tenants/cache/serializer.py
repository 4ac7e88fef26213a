"""The serializer of Django's cache: JSON, because unpickling a forged value would run code."""

from __future__ import annotations

import json
from typing import Any


class JSONSerializer:
    """JSON serializer for Django's Redis cache.

    Integers are stored as plain numbers, so that Redis can increment them.
    """

    def dumps(self, value: Any) -> int | bytes:
        """Return the stored form; raise TypeError for a value that JSON cannot hold."""
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, stored: bytes) -> Any:
        """Return the value; raise ValueError for bytes that are not JSON."""
        return json.loads(stored)
