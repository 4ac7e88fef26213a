"""Input of a WSGI request, whose source is replaced after Django has made the request."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.handlers.wsgi import LimitedStream, WSGIRequest
from django.test import RequestFactory

from tenants.requests.bodies import BodyInput, wrap_body_input


def make_environ(body: bytes) -> dict[str, Any]:
    """Return the environment of a POST with this body, as Django sends it to receivers of `request_started`."""
    environ = RequestFactory()._base_environ(REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body)))
    environ["wsgi.input"] = io.BytesIO(body)
    wrap_body_input(None, environ=environ)
    return environ


@pytest.mark.parametrize("read", ["body", "read", "readline"])
def test_request_reads_the_file_that_replaces_its_input(read: str) -> None:
    environ = make_environ(b"from the client")
    request = WSGIRequest(environ)
    body: BodyInput = environ["wsgi.input"]
    received = body.read()
    body.replace(io.BytesIO(received.upper()))
    value = getattr(request, read)
    assert (value if read == "body" else value()) == b"FROM THE CLIENT"
    assert body.is_received


def test_request_reads_its_client_until_then() -> None:
    request = WSGIRequest(make_environ(b"from the client"))
    assert request.body == b"from the client"


def test_input_is_not_read_beyond_the_length_of_the_body() -> None:
    body = BodyInput(io.BytesIO(b"this request"))
    stream = LimitedStream(body, 4)
    body.replace(io.BytesIO(b"this and that"))
    assert stream.read() == b"this"


def test_asgi_request_has_no_input_to_wrap() -> None:
    wrap_body_input(None, scope={"type": "http"})
