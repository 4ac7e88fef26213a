"""Outgoing HTTP: the only way out for URLs that tenants, plug-ins and operators provide.

`send` parses the URL once, refuses targets inside the network, connects to the address that it has checked, and bounds
redirects, sizes and times; `send_async` and `open_stream` do the same on an event loop. ADR 0020 has the reasons;
docs/reference/outgoing_http.md lists what is refused.
"""

from __future__ import annotations

from scheduling.kit.http.calling import METHODS, RESERVED_HEADERS, Answer, Limits, send
from scheduling.kit.http.errors import (
    AddressRefusedError,
    HostRefusedError,
    NoAnswerError,
    RedirectRefusedError,
    RequestRefusedError,
    SecretRefusedError,
    UrlRefusedError,
)
from scheduling.kit.http.policy import refusal_of
from scheduling.kit.http.secret_headers import HeaderValue, SecretText, open_header, open_headers, open_pieces
from scheduling.kit.http.streaming import Stream, open_stream, send_async
from scheduling.kit.http.targets import UrlTarget, read_target

__all__ = [
    "METHODS",
    "RESERVED_HEADERS",
    "AddressRefusedError",
    "Answer",
    "HeaderValue",
    "HostRefusedError",
    "Limits",
    "NoAnswerError",
    "RedirectRefusedError",
    "RequestRefusedError",
    "SecretRefusedError",
    "SecretText",
    "Stream",
    "UrlRefusedError",
    "UrlTarget",
    "open_header",
    "open_headers",
    "open_pieces",
    "open_stream",
    "read_target",
    "refusal_of",
    "send",
    "send_async",
]
