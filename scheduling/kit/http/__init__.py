"""HTTP to the world outside: the one way out for URLs that tenants, plug-ins and operators give.

`send` reads the URL once, refuses what leads inside, connects to the address that it has checked, and bounds
redirects, sizes and times; `send_async` and `open_stream` are the same on an event loop. ADR 0020 says why it stands
here; docs/reference/outgoing_http.md what it refuses.
"""

from __future__ import annotations

from scheduling.kit.http.calling import METHODS, RESERVED_HEADERS, Answer, Limits, send
from scheduling.kit.http.errors import (
    AddressRefusedError,
    NoAnswerError,
    RedirectRefusedError,
    RequestRefusedError,
    SecretRefusedError,
    UrlRefusedError,
)
from scheduling.kit.http.secret_headers import HeaderValue, SecretText, open_header, open_headers, open_pieces
from scheduling.kit.http.streaming import Stream, open_stream, send_async
from scheduling.kit.http.targets import Target, read_target

__all__ = [
    "METHODS",
    "RESERVED_HEADERS",
    "AddressRefusedError",
    "Answer",
    "HeaderValue",
    "Limits",
    "NoAnswerError",
    "RedirectRefusedError",
    "RequestRefusedError",
    "SecretRefusedError",
    "SecretText",
    "Stream",
    "Target",
    "UrlRefusedError",
    "open_header",
    "open_headers",
    "open_pieces",
    "open_stream",
    "read_target",
    "send",
    "send_async",
]
