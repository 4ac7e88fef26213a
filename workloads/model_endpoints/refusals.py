"""Classification of a model endpoint's errors: it refuses every request, is down, or refuses this request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from tenants.audit.service import mask_text

MAX_ERROR_CHARACTERS = 300
# Longer error bodies are not read as text; a page of a proxy is no message.
_MAX_TEXT_BYTES: Final = 2_000
_MASK: Final = "•••"
# Unauthorized, Payment Required, Forbidden: the key or the account, never the document.
REFUSED_STATUSES = frozenset({401, 402, 403})
# Statuses that may succeed later: Request Timeout, Conflict, Too Early, Too Many Requests.
HEALING_STATUSES = frozenset({408, 409, 425, 429})
# What providers call their errors, in `code`, `type` or `status`; a name decides before the status does.
_REFUSED_NAMES = frozenset(
    {"insufficient_quota", "invalid_api_key", "billing_hard_limit_reached", "authentication_error", "unauthenticated"}
    | {"account_deactivated", "billing_not_active", "billing_error"}
)
_TOO_LONG_NAMES = frozenset({"context_length_exceeded", "string_above_max_length", "request_too_large"})
_FILTERED_NAMES = frozenset(
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked"}
)
_LIMITED_NAMES = frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limited", "resource_exhausted"})
_DOWN_NAMES = frozenset(
    {"overloaded_error", "overloaded", "engine_overloaded", "server_error", "internal_server_error", "api_error"}
    | {"service_unavailable", "unavailable", "timeout", "timeout_error"}
)
_REQUEST_NAMES = frozenset({"invalid_request_error", "invalid_argument", "not_found_error", "model_not_found"})
# Keys as providers quote them, often partly masked: `sk-abc***xyz`, `API key provided: abcdef`.
_KEYS: Final = (
    re.compile(r"(?<![A-Za-z0-9_-])(?:sk|pk|rk|gsk|xai|hf|key)[-_][A-Za-z0-9_.*•-]{3,}+"),
    re.compile(r"(?i)(\bkey provided: ?)[^\s,;]{3,}+"),
)


@dataclass(frozen=True, slots=True)
class EndpointName:
    """How errors name an endpoint: its title, the prefix of their codes, its key (which is masked), and a mask."""

    title: str
    code: str
    key: str = field(default="", repr=False)
    mask: Callable[[str], str] = str


def body_has_error(content: Any) -> bool:
    """Return whether the body of a response with the status 200 is an error."""
    if not isinstance(content, Mapping) or content.get("choices"):
        return False
    return bool(content.get("error")) or content.get("object") == "error"


def error_of(
    endpoint: EndpointName, status: int, body: bytes | Mapping[str, Any], *, retry_after_seconds: float | None = None
) -> Exception:
    """Return the exception for a failed response, with the provider's message, in which secrets are masked.

    The provider's code or type decides, then the status; that of an error body that came with 200 is the one that the
    body names. A body that names none counts as a refusal of every request.
    """
    error = _error_in(body)
    names = {str(error.get(name)).lower() for name in ("code", "type", "status") if error.get(name)}
    named = next((int(name) for name in names if name.isascii() and name.isdigit() and len(name) == 3), None)
    status = named or status if status == 200 else status
    message = _message(endpoint, status, str(error.get("message") or ""))
    code, is_passing = _classify(status, names)
    if code == "dependency_refused":
        return DependencyRefusedError(message, retry_after_seconds=retry_after_seconds)
    if is_passing:
        return TransientError(message, code=f"{endpoint.code}_{code}", retry_after_seconds=retry_after_seconds)
    return PermanentError(message, code=f"{endpoint.code}_{code}")


def _classify(status: int, names: set[str]) -> tuple[str, bool]:
    """Return the end of the error's code, and whether a repetition may succeed."""
    if names & _TOO_LONG_NAMES:
        return "context_exceeded", False
    if names & _FILTERED_NAMES:
        return "content_filtered", False
    if names & _REFUSED_NAMES or status in REFUSED_STATUSES:
        return "dependency_refused", True
    if names & _LIMITED_NAMES or status == 429:
        return "rate_limited", True
    if names & _DOWN_NAMES or status >= 500 or status in HEALING_STATUSES:
        return "unavailable", True
    if status == 200 and not names & _REQUEST_NAMES:
        return "dependency_refused", True
    return "refused", False


def _error_in(body: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the error of a body as a mapping with ``message``; an empty one if the body has none that is known."""
    try:
        content = json.loads(body) if isinstance(body, bytes) else body
    except (ValueError, RecursionError):
        return {"message": _plain_text(body)} if isinstance(body, bytes) else {}
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, Mapping):
        return {"message": content} if isinstance(content, str) else {}
    error = content.get("error") or content
    if not isinstance(error, Mapping):
        return {**content, "message": error}
    # Some servers say `detail` and no `error`; of a list of faults, the text is shown.
    message = error.get("message") or error.get("detail") or error.get("error_description")
    return {**error, "message": message if isinstance(message, str) or not message else json.dumps(message)}


def _plain_text(body: bytes) -> str:
    text = body[:_MAX_TEXT_BYTES].decode("utf-8", "replace").strip()
    is_text = bool(text) and text[0] not in "<[{" and len(body) <= _MAX_TEXT_BYTES
    return " ".join(text.split()) if is_text and "\ufffd" not in text else ""


def _message(endpoint: EndpointName, status: int, said: str) -> str:
    said = endpoint.mask(said)
    if endpoint.key:
        said = said.replace(endpoint.key, _MASK)
    # Cut first: masking handles short texts only.
    said = said[:MAX_ERROR_CHARACTERS]
    said = mask_text(_KEYS[1].sub(rf"\1{_MASK}", _KEYS[0].sub(_MASK, said)))
    what = "an error" if status == 200 else str(status)
    return f"The {endpoint.title} answered {what}{f': {said}' if said else ''}."
