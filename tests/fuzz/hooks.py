"""What Schemathesis leaves out and adds.

A query that no request line holds is refused by the web server, not by the API. A person's session is believed only
with a token against forged requests, once as a cookie and once as a header.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import schemathesis

MAX_QUERY = 3_500
CSRF_TOKEN = "a" * 32


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Keep the requests whose query fits into a request line."""
    query = case.query or {}
    return not isinstance(query, dict) or len(urlencode(query, doseq=True, errors="replace")) <= MAX_QUERY


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Add the cookie that belongs to the header X-CSRFToken."""
    case.cookies = {**(case.cookies or {}), "csrftoken": CSRF_TOKEN}
