"""Checks of page fragments that the browser polls."""

from __future__ import annotations

from typing import Any

from django.test import Client

# A fragment that shows times changes with the clock, perhaps just between two requests, but not between all of these.
ATTEMPTS = 4


def is_answered_304(client: Client, url: str, query: dict[str, Any] | None = None) -> bool:
    """Return whether the fragment is answered 304, without a body, to a browser that has its current copy."""
    for _attempt in range(ATTEMPTS):
        shown = client.get(url, query)
        again = client.get(url, query, headers={"If-None-Match": shown["ETag"]})
        if again.status_code == 304:
            return again.content == b""
    return False
