"""Classification of a model endpoint's errors: it refuses every request, is down, or refuses this request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from tenants.audit.service import mask_text

MAX_ERROR_CHARACTERS = 300
# Unauthorized, Payment Required, Forbidden: the key or the account, never the document.
REFUSED_STATUSES = frozenset({401, 402, 403})
# Statuses that may succeed later: Request Timeout, Conflict, Too Early, Too Many Requests.
HEALING_STATUSES = frozenset({408, 409, 425, 429})
_REFUSED_NAMES = frozenset(
    {"insufficient_quota", "invalid_api_key", "billing_hard_limit_reached", "authentication_error"}
)
_REQUEST_NAMES = frozenset({"invalid_request_error", "context_length_exceeded", "content_filter"})


@dataclass(frozen=True, slots=True)
class EndpointName:
    """How errors name an endpoint: its title, the prefix of their codes, its key (which is masked), and a mask."""

    title: str
    code: str
    key: str = field(default="", repr=False)
    mask: Callable[[str], str] = str


def body_has_error(content: Any) -> bool:
    """Return whether the body of a response with the status 200 is an error."""
    return isinstance(content, Mapping) and bool(content.get("error")) and "choices" not in content


def error_of(
    endpoint: EndpointName, status: int, body: bytes | Mapping[str, Any], *, retry_after_seconds: float | None = None
) -> Exception:
    """Return the exception for a failed response, with the provider's message, in which secrets are masked.

    The status of an error body that came with 200 is the one that the body names. A body that names none counts as a
    refusal of every request.
    """
    error = _error_in(body)
    names = {str(error.get(name)) for name in ("code", "type") if error.get(name)}
    named = next((int(name) for name in names if name.isascii() and name.isdigit() and len(name) == 3), None)
    status = named or status if status == 200 else status
    message = _message(endpoint, status, str(error.get("message") or ""))
    if status in REFUSED_STATUSES or names & _REFUSED_NAMES or (status == 200 and not names & _REQUEST_NAMES):
        return DependencyRefusedError(message, retry_after_seconds=retry_after_seconds)
    if status >= 500 or status in HEALING_STATUSES:
        code = f"{endpoint.code}_{'rate_limited' if status == 429 else 'unavailable'}"
        return TransientError(message, code=code, retry_after_seconds=retry_after_seconds)
    return PermanentError(message, code=f"{endpoint.code}_refused")


def _error_in(body: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        content = json.loads(body) if isinstance(body, bytes) else body
    except (ValueError, RecursionError):
        return {}
    error = content.get("error") if isinstance(content, Mapping) else None
    return error if isinstance(error, Mapping) else {"message": error}


def _message(endpoint: EndpointName, status: int, said: str) -> str:
    said = endpoint.mask(said)
    if endpoint.key:
        said = said.replace(endpoint.key, "•••")
    # Cut first: masking handles short texts only.
    said = mask_text(said[:MAX_ERROR_CHARACTERS])
    what = "an error" if status == 200 else str(status)
    return f"The {endpoint.title} answered {what}{f': {said}' if said else ''}."
