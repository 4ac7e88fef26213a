"""Requests to the WSGI and ASGI entry points in the form of their servers."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any, BinaryIO

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory

from jobsplatform.asgi_limits import RequestLimiter
from jobsplatform.request_heads import RequestHeadLimiter
from tenants.requests.bodies import MAX_TEXT_BYTES

# An endless body ends here, far above the limit of any read.
MOST_READ = 4 * MAX_TEXT_BYTES


def ask_asgi(path: str, headers: dict[str, str], *, part: bytes = b"", is_stalling: bool = False) -> str:
    """Return the refusal of a request to the ASGI entry point with an endless body, and how much was read before it.

    A stalling client sends one part. Reads after the refusal, which let the client receive it, are bounded.
    """
    read, read_before, answers = 0, 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        if is_stalling and read:
            await asyncio.Event().wait()
        read += len(part)
        return {"type": "http.request", "body": part, "more_body": read < MOST_READ}

    async def send(message: Any) -> None:
        nonlocal read_before
        if not answers:
            read_before = read
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(RequestLimiter(get_asgi_application())(scope, receive, send))
    body = json.loads(b"".join(answer.get("body", b"") for answer in answers))
    assert read - read_before <= MAX_TEXT_BYTES + len(part)
    return f"{answers[0]['status']} {body['code']} after {read_before // 1024} KiB"


def ask_wsgi(path: str, body: BinaryIO | None = None, **environ: Any) -> str:
    """Return the refusal of a request to the WSGI entry point, and how much of its body was read."""
    body = body or io.BytesIO(bytes(MOST_READ))
    asked = RequestFactory()._base_environ(PATH_INFO=path, REQUEST_METHOD="POST")
    lines: list[str] = []
    application = RequestHeadLimiter(get_wsgi_application())
    answer = application(
        {**asked, "wsgi.input": body, "CONTENT_TYPE": "application/json", **environ},
        lambda line, _headers, _error=None: lines.append(line),
    )
    code = json.loads(b"".join(answer))["code"]
    read = f"{body.tell() // 1024} KiB" if body.seekable() else "its time"
    return f"{lines[0].split()[0]} {code} after {read}"
