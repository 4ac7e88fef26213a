"""The kind `http_call` with a real server: requests, stored results, and transient errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from scheduling.conf import MAX_RESULT_BYTES
from scheduling.execution.json_limits import storable_result
from scheduling.kit.base import Complete, PermanentError, TransientError
from scheduling.kit.testing import RecordingRuntime, make_context, try_processor
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.http_call.processor import MAX_PREVIEW_CHARACTERS, HttpCall

JOB = make_context(HttpCall, {"url": "http://a.example"}).idempotency_key


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


def call(payload: dict[str, Any], runtime: RecordingRuntime | None = None) -> dict[str, Any]:
    """Return the result of a call, as it would be stored."""
    run = try_processor(HttpCall, payload, runtime=runtime)
    if run.error is not None:
        raise run.error
    assert isinstance(run.outcome, Complete)
    return dict(storable_result(run.outcome.result, max_bytes=MAX_RESULT_BYTES))


def test_payload_with_url_only_is_sent_as_get(server: WebServer) -> None:
    result = call({"url": f"{server.url}/a?token=x"})
    assert result.pop("headers")["content-length"] == "5"
    assert result == {
        "status": 200,
        "url": f"{server.url}/a",
        "redirects": 0,
        "body": "hello",
        "body_bytes": 5,
        "is_body_cut": False,
    }
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.headers["Idempotency-Key"]) == ("GET", "/a?token=x", JOB)


@pytest.mark.parametrize(
    ("payload", "method", "body", "content_type"),
    [
        ({"json": {"a": "ä"}}, "POST", '{"a":"ä"}'.encode(), "application/json"),
        ({"json": None}, "POST", b"null", "application/json"),
        ({"json": 1, "method": "PUT"}, "PUT", b"1", "application/json"),
        ({"json": 1, "headers": {"content-type": "application/x"}}, "POST", b"1", "application/x"),
        ({"body": "a,b\n"}, "POST", b"a,b\n", None),
        ({"body": "", "headers": {"Content-Type": "text/csv"}}, "POST", b"", "text/csv"),
        ({"method": "DELETE"}, "DELETE", b"", None),
    ],
)
def test_body_is_sent_as_json_or_as_text(
    server: WebServer, payload: dict[str, Any], method: str, body: bytes, content_type: str | None
) -> None:
    call({"url": server.url, **payload})
    (seen,) = server.seen
    sent = {name.lower(): value for name, value in seen.headers.items()}
    assert (seen.method, seen.body, sent.get("content-type")) == (method, body, content_type)


@pytest.mark.parametrize(
    ("payload", "name", "value"),
    [
        ({"idempotency_header": "X-Request-Id"}, "X-Request-Id", JOB),
        ({"idempotency_header": None}, "Idempotency-Key", None),
        ({"headers": {"idempotency-key": "mine"}}, "idempotency-key", "mine"),
    ],
)
def test_idempotency_key_is_sent_in_the_configured_header(
    server: WebServer, payload: dict[str, Any], name: str, value: str | None
) -> None:
    call({"url": server.url, **payload})
    assert server.seen[0].headers.get(name) == value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418, 422, 451, 301, 304])
def test_status_of_client_error_is_permanent(server: WebServer, status: int) -> None:
    server.answers["/"] = (status, {"Retry-After": "7"}, b"")
    with pytest.raises(PermanentError) as caught:
        call({"url": server.url})
    assert caught.value.code == f"http_{status}"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599])
def test_status_of_temporary_error_is_transient(server: WebServer, status: int) -> None:
    server.answers["/"] = (status, {"Retry-After": "7"}, b"")
    with pytest.raises(TransientError) as caught:
        call({"url": f"{server.url}/?token=secret"})
    assert (caught.value.code, caught.value.retry_after_seconds) == (f"http_{status}", 7)
    assert "secret" not in str(caught.value)


def test_payload_defines_the_expected_status(server: WebServer) -> None:
    server.answers["/"] = (404, {}, b"none")
    assert call({"url": server.url, "expected_status": [404, 410]})["body"] == "none"
    with pytest.raises(PermanentError, match="status 200"):
        call({"url": f"{server.url}/other", "expected_status": [404]})


def test_redirects_are_followed_up_to_the_limit(server: WebServer) -> None:
    server.answers["/"] = (302, {"Location": "/b"}, b"")
    result = call({"url": server.url, "max_redirects": 1})
    assert (result["url"], result["redirects"]) == (f"{server.url}/b", 1)


def test_internal_address_is_a_permanent_error(server: WebServer) -> None:
    server.answers["/"] = (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b"")
    for payload in ({"url": "http://127.0.0.1:1/"}, {"url": server.url, "max_redirects": 5}):
        with pytest.raises(PermanentError) as caught:
            call(payload)
        assert caught.value.code == "address_refused"


def test_closed_port_is_a_transient_error(server: WebServer, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=["127.0.0.1:9"])
    with pytest.raises(TransientError) as caught:
        call({"url": "http://127.0.0.1:9/"})
    assert caught.value.code == "no_answer"


def test_secret_headers_of_the_response_are_not_stored(server: WebServer) -> None:
    server.answers["/"] = (200, {"Set-Cookie": "id=secret", "X-Auth-Token": "secret", "X-Plain": "kept"}, b"")
    headers = call({"url": server.url})["headers"]
    assert "secret" not in json.dumps(headers)
    assert headers["x-plain"] == "kept"


@pytest.mark.parametrize(
    "body",
    ["x" * 900_000, "\x01" * 900_000, "\x00" * 900_000, "日" * 300_000, "😀" * 200_000, '"' * 900_000, "\\" * 900_000],
    ids=["letters", "controls", "nuls", "cjk", "emoji", "quotes", "backslashes"],
)
def test_long_response_is_truncated(server: WebServer, body: str) -> None:
    server.answers["/"] = (200, {f"X-{number}": "y" * 2_000 for number in range(40)}, body.encode())
    result = call({"url": server.url})
    assert len(result["body"]) == MAX_PREVIEW_CHARACTERS
    assert (result["is_body_cut"], result["body_bytes"]) == (True, len(body.encode()))


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=gbk", "公平".encode("gbk"), "公平"),
        ('text/plain; charset="ISO-8859-1"', b"\xe9", "é"),
        ("application/json", '{"a": "ä"}'.encode(), '{"a": "ä"}'),
        ("image/png", b"\x89PNG\r\n\x1a\n\xff\xfe", None),
        ("text/plain; charset=punycode", b"a" * 100_000, None),
        ("text/plain; charset=unicode_escape", b"\\q", None),
        ("text/plain; charset=zlib", b"x", None),
        ("text/plain; charset=\x80", b"x", None),
        ("text/plain; charset", b"x", "x"),
    ],
)
def test_text_is_decoded_by_its_charset_and_binary_is_omitted(
    server: WebServer, content_type: str, body: bytes, text: str | None
) -> None:
    server.answers["/"] = (200, {"Content-Type": content_type}, body)
    assert call({"url": server.url})["body"] == text


def test_compressed_response_is_not_decompressed(server: WebServer) -> None:
    server.answers["/"] = (200, {"Content-Encoding": "gzip"}, b"abc")
    result = call({"url": server.url})
    assert (result["body"], result["body_bytes"]) == (None, 3)


def test_log_contains_the_call_without_secrets(server: WebServer) -> None:
    runtime = RecordingRuntime()
    call(
        {"url": f"{server.url}/?token=secret", "headers": {"Authorization": "Bearer secret"}, "body": "secret"}, runtime
    )
    assert [message for _, message, _ in runtime.lines] == ["calling", "answered"]
    assert "secret" not in json.dumps(runtime.lines)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"url": 7},
        {"url": ""},
        {"url": "ftp://example.com/"},
        {"url": "example.com"},
        {"url": "http://" + "a" * 4_000},
        {"url": "http://a.example", "method": "TRACE"},
        {"url": "http://a.example", "method": "get"},
        {"url": "http://a.example", "headers": {"Host": "x"}},
        {"url": "http://a.example", "headers": {"content-LENGTH": "1"}},
        {"url": "http://a.example", "headers": {"X\r\nY": "x"}},
        {"url": "http://a.example", "headers": {"X": "a\r\nHost: b"}},
        {"url": "http://a.example", "headers": {"X": "a\n"}},
        {"url": "http://a.example", "headers": {"X\n": "a"}},
        {"url": "http://a.example", "headers": {"X": 1}},
        {"url": "http://a.example", "headers": {f"X{number}": "" for number in range(51)}},
        {"url": "http://a.example", "json": 1, "body": "x"},
        {"url": "http://a.example", "body": {"a": 1}},
        {"url": "http://a.example", "timeout_seconds": 0},
        {"url": "http://a.example", "timeout_seconds": 61},
        {"url": "http://a.example", "max_redirects": 6},
        {"url": "http://a.example", "expected_status": []},
        {"url": "http://a.example", "expected_status": [100]},
        {"url": "http://a.example", "expected_status": ["200"]},
        {"url": "http://a.example", "idempotency_header": "Host"},
        {"url": "http://a.example", "idempotency_header": ""},
        {"url": "http://a.example", "verify": False},
        {"url": "http://a.example", "proxy": "http://127.0.0.1"},
    ],
)
def test_invalid_payload_is_refused_at_submission(payload: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(HttpCall.payload_schema).validate(payload)
