"""Requests and responses, time limits, and protection of secrets."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from scheduling.kit.base import Interrupted
from scheduling.kit.http import (
    Limits,
    NoAnswerError,
    RedirectRefusedError,
    RequestRefusedError,
    calling,
    connections,
    send,
)
from tests.acceptance.tls import make_certificates
from tests.unit.scheduling.kit.http.conftest import World
from tests.unit.scheduling.kit.http.test_refusals import PUBLIC
from tests.web_server import WebServer, raw_server, web_server

Allow = Callable[..., None]
SOON = Limits(connect_seconds=0.3, read_seconds=0.3, total_seconds=0.3)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SAFE_POINT_SECONDS", 0.02)


@contextmanager
def speaking(allow: Allow, speak: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    with raw_server(speak) as port:
        allow(f"127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}/"


def test_request_has_the_given_headers_and_no_identifying_ones(server: WebServer, allow: Allow) -> None:
    allow(f"127.0.0.1:{server.port}")
    answer = send("POST", f"{server.url}/a?b=c#d", headers=[("X-One", "1"), ("user-agent", "me")], body=b"{}")
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=c", b"{}")
    assert seen.headers == {
        "Host": f"127.0.0.1:{server.port}",
        "X-One": "1",
        "user-agent": "me",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Accept": "*/*",
        "Content-Length": "2",
    }
    assert (answer.status, answer.body, answer.is_cut, answer.url) == (200, b"hello", False, f"{server.url}/a")
    assert answer.header("Content-Length") == "5"


@pytest.mark.parametrize("method", calling.METHODS)
def test_every_method_is_sent(server: WebServer, allow: Allow, method: str) -> None:
    allow(f"127.0.0.1:{server.port}")
    assert send(method, server.url).status == 200
    assert server.seen[0].method == method


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET /\r\nX: y", "", "PROPFIND"])
def test_unknown_method_is_refused(world: World, method: str) -> None:
    with pytest.raises(RequestRefusedError):
        world.call("http://api.example.com/", method)
    assert world.looked_up == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "127.0.0.1"),
        ("HOST", "127.0.0.1"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "keep-alive"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Expect", "100-continue"),
        ("Proxy-Authorization", "Basic secret"),
        ("Accept-Encoding", "gzip"),
        ("", "x"),
        ("X Y", "x"),
        ("X:", "x"),
        ("X\r\nHost", "127.0.0.1"),
        ("Ｘ", "x"),
        ("X" * 201, "x"),
        ("X-A", "a\r\nHost: 127.0.0.1"),
        ("X-A", "a\nb"),
        ("X-A", "a\x00b"),
        ("X-A", "ä"),
        ("X-A", " secret"),
        ("X-A", "secret\t"),
        ("X-A", "s" * 9_000),
    ],
)
def test_hop_by_hop_or_multiline_header_is_refused_without_its_value(world: World, name: str, value: str) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        world.call("http://api.example.com/", headers=[(name, value)])
    assert caught.value.code == "request_refused"
    assert "secret" not in str(caught.value)
    assert world.looked_up == []


def test_every_status_is_returned(server: WebServer, allow: Allow) -> None:
    allow(f"127.0.0.1:{server.port}")
    for status in (204, 302, 404, 429, 500, 599):
        server.answers["/"] = (status, {"Location": "/x"}, b"")
        assert send("GET", server.url).status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_followed_if_allowed(world: World, status: int) -> None:
    world.names["api.example.com"] = [PUBLIC]
    world.server.answers["/a"] = (status, {"Location": "/b"}, b"")
    answer = world.call("http://api.example.com/a", headers=[("Authorization", "x")], limits=Limits(redirects=1))
    assert (answer.status, answer.redirects, answer.url) == (200, 1, "http://api.example.com/b")
    assert [seen.headers.get("Authorization") for seen in world.server.seen] == ["x", "x"]
    assert world.call("http://api.example.com/a").status == status


@pytest.mark.parametrize(
    "location", ["http://other.example/", "http://api.example.com:8080/", "https://api.example.com/"]
)
def test_redirect_to_another_origin_drops_secret_headers(
    world: World, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.names |= {"api.example.com": [PUBLIC], "other.example": [PUBLIC]}
    monkeypatch.setattr(connections.WatchedStream, "start_tls", lambda stream, *_, **__: stream)
    world.server.answers["/a"] = (307, {"Location": location}, b"")
    secrets = [("Authorization", "x"), ("Cookie", "y"), ("X-Api-Key", "z"), ("Accept", "text/csv")]
    world.call("http://api.example.com/a", "POST", headers=secrets, body=b"1", limits=Limits(redirects=1))
    first, second = world.server.seen
    assert {"Authorization", "Cookie", "X-Api-Key"} <= first.headers.keys()
    assert second.headers.keys() & {"Authorization", "Cookie", "X-Api-Key"} == set()
    assert (second.method, second.headers["Accept"], second.body) == ("POST", "text/csv", b"1")


def test_post_is_not_redirected_as_get(world: World) -> None:
    world.names["api.example.com"] = [PUBLIC]
    for status in (301, 302):
        world.server.answers["/a"] = (status, {"Location": "/b"}, b"")
        with pytest.raises(RedirectRefusedError, match="redirect of a POST is not followed"):
            world.call("http://api.example.com/a", "POST", body=b"1", limits=Limits(redirects=1))
    world.server.answers["/a"] = (303, {"Location": "/b"}, b"")
    headers = [("Content-Type", "text/csv")]
    world.call("http://api.example.com/a", "POST", headers=headers, body=b"1", limits=Limits(redirects=1))
    last = world.server.seen[-1]
    assert (last.method, last.path, last.body, "Content-Type" in last.headers) == ("GET", "/b", b"", False)


def test_redirect_from_https_to_http_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.names["api.example.com"] = [PUBLIC]
    monkeypatch.setattr(connections.WatchedStream, "start_tls", lambda stream, *_, **__: stream)
    world.server.answers["/"] = (302, {"Location": "http://api.example.com/"}, b"")
    with pytest.raises(RedirectRefusedError, match="from https to http"):
        world.call("https://api.example.com/", limits=Limits(redirects=1))


def test_long_response_is_truncated(server: WebServer, allow: Allow) -> None:
    allow(f"127.0.0.1:{server.port}")
    server.answers["/"] = (200, {}, b"x" * 300_000)
    answer = send("GET", server.url, limits=Limits(body_bytes=100_000))
    assert (len(answer.body), answer.is_cut) == (100_000, True)
    server.answers["/"] = (200, {}, b"x" * 100_000)
    assert send("GET", server.url, limits=Limits(body_bytes=100_000)).is_cut is False


def test_endless_response_is_truncated(allow: Allow) -> None:
    def pour(connection: socket.socket, is_over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not is_over.is_set():
            connection.sendall(b"1000\r\n" + b"x" * 4_096 + b"\r\n")

    with speaking(allow, pour) as url:
        answer = send("GET", url, limits=Limits(body_bytes=10_000))
    assert (answer.body, answer.is_cut) == (b"x" * 10_000, True)


def test_compressed_response_is_not_decompressed(server: WebServer, allow: Allow) -> None:
    allow(f"127.0.0.1:{server.port}")
    bomb = gzip.compress(b"\0" * 10_000_000)
    server.answers["/"] = (200, {"Content-Encoding": "gzip"}, bomb)
    assert send("GET", server.url).body == bomb


def stay_silent(connection: socket.socket, is_over: threading.Event) -> None:
    is_over.wait()


def drip_headers(connection: socket.socket, is_over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not is_over.wait(0.01):
        connection.sendall(b"a: b\r\n")


def drip_body(connection: socket.socket, is_over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not is_over.wait(0.01):
        connection.sendall(b"x")


def say_wait(connection: socket.socket, is_over: threading.Event) -> None:
    while not is_over.wait(0.01):
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")


@pytest.mark.parametrize("speak", [stay_silent, drip_headers, drip_body, say_wait])
def test_slow_server_times_out(allow: Allow, speak: Callable[..., None]) -> None:
    with speaking(allow, speak) as url, pytest.raises(NoAnswerError) as caught:
        send("GET", url, limits=SOON)
    assert caught.value.code == "timed_out"


def test_server_that_does_not_read_times_out(allow: Allow) -> None:
    with speaking(allow, stay_silent) as url, pytest.raises(NoAnswerError) as caught:
        send("POST", url, body=b"x" * 50_000_000, limits=SOON)
    assert caught.value.code == "timed_out"


def test_slow_name_service_times_out() -> None:
    asked = threading.Event()
    with pytest.raises(NoAnswerError) as caught:
        send("GET", "http://slow.example/", look_up=lambda *_: [str(asked.wait())], limits=SOON)
    asked.set()
    assert caught.value.code == "timed_out"


@pytest.mark.parametrize("speak", [stay_silent, drip_body])
def test_call_is_interrupted_at_a_safe_point(allow: Allow, speak: Callable[..., None]) -> None:
    looks = iter([None] * 5)

    def stop_at_the_sixth_look() -> None:
        if next(looks, "over") == "over":
            raise Interrupted("cancel")

    with speaking(allow, speak) as url, pytest.raises(Interrupted):
        send("GET", url, at_safe_point=stop_at_the_sixth_look)


def answering(content: bytes) -> Callable[..., None]:
    def speak(connection: socket.socket, is_over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(content)

    return speak


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"-ERR unknown command\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 99 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 300_000 + b"\r\n\r\n",
    ],
)
def test_incomplete_http_response_is_an_error(allow: Allow, content: bytes) -> None:
    with speaking(allow, answering(content)) as url, pytest.raises(NoAnswerError) as caught:
        send("GET", url)
    assert caught.value.code == "no_answer"


def test_header_with_any_bytes_is_read(allow: Allow) -> None:
    with speaking(allow, answering(b"HTTP/1.1 200 OK\r\nX-Name: \xff\xe9\r\nContent-Length: 0\r\n\r\n")) as url:
        assert send("GET", url).header("x-name") == "ÿé"


def test_closed_port_is_an_error(allow: Allow) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    allow(f"127.0.0.1:{port}")
    with pytest.raises(NoAnswerError, match="is unreachable"):
        send("GET", f"http://127.0.0.1:{port}/")


def test_next_address_is_tried_if_one_does_not_answer(server: WebServer, allow: Allow) -> None:
    allow(f"two.internal:{server.port}")
    answer = send("GET", f"http://two.internal:{server.port}/", look_up=lambda *_: ["127.0.0.2", "127.0.0.1"])
    assert answer.status == 200


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Run a server with a certificate for 127.0.0.1 by an authority that SSL_CERT_FILE names."""
    certificates = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    calling.ssl_context.cache_clear()
    with web_server(context) as running:
        yield running
    calling.ssl_context.cache_clear()


def test_certificate_is_verified_for_the_host_name(tls_server: WebServer, allow: Allow) -> None:
    port = tls_server.port
    allow(f"127.0.0.1:{port}", f"api.internal:{port}")
    assert send("GET", f"https://127.0.0.1:{port}/").status == 200
    with pytest.raises(NoAnswerError, match="certificate is not accepted") as caught:
        send("GET", f"https://api.internal:{port}/", look_up=lambda *_: ["127.0.0.1"])
    assert caught.value.code == "tls_failed"
    assert len(tls_server.seen) == 1


def test_certificate_of_unknown_authority_is_refused(
    tls_server: WebServer, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    calling.ssl_context.cache_clear()
    allow(f"127.0.0.1:{tls_server.port}")
    with pytest.raises(NoAnswerError, match="certificate is not accepted"):
        send("GET", f"https://127.0.0.1:{tls_server.port}/")


def test_server_without_tls_is_reported(server: WebServer, allow: Allow) -> None:
    allow(f"127.0.0.1:{server.port}")
    with pytest.raises(NoAnswerError, match="TLS handshake failed") as caught:
        send("GET", f"https://127.0.0.1:{server.port}/")
    assert caught.value.code == "tls_failed"


def test_retry_after_of_response_is_read(server: WebServer, allow: Allow) -> None:
    allow(f"127.0.0.1:{server.port}")
    later = datetime.now(UTC) + timedelta(hours=1)
    for text, least, most in (("120", 120, 120), (format_datetime(later, usegmt=True), 3_500, 3_600)):
        server.answers["/"] = (503, {"Retry-After": text}, b"")
        seconds = send("GET", server.url).retry_after_seconds
        assert seconds is not None
        assert least <= seconds <= most
    assert send("GET", f"{server.url}/other").retry_after_seconds is None
