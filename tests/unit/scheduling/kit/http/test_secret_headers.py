"""Secrets in headers: where they are sent, where not, and how responses are masked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scheduling.kit.http import Limits, SecretRefusedError, SecretText, open_stream, read_target, send, send_async
from scheduling.kit.http.policy import OutgoingPolicy
from scheduling.kit.http.secret_headers import MASK, Mask, open_pieces
from tenants.secrets.queries import OpenSecret
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server

VALUE = 'the "value" of it'
SECRET = OpenSecret("api", ("127.0.0.1",), VALUE)
TEXT = SecretText(("Bearer ", SECRET))
POLICY = OutgoingPolicy(frozenset({80, 443}))
LIMITS = Limits(redirects=2)


@pytest.fixture
def servers(change_platform_settings: ChangePlatformSettings) -> Iterator[tuple[WebServer, WebServer]]:
    with web_server() as one, web_server() as other:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"])
        yield one, other


def both(url: str, **options: Any) -> list[Any]:
    """Return the responses of both interfaces."""
    headers = [("Authorization", TEXT)]
    return [
        send("GET", url, headers=headers, **options),
        asyncio.run(send_async("GET", url, headers=headers, **options)),
    ]


def test_value_is_in_no_representation() -> None:
    assert VALUE not in f"{SECRET!r} {SECRET} {TEXT!r} {TEXT} {Mask.of([('A', TEXT)])!r}"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_value_in_several_parts_is_masked(size: int) -> None:
    text, shown, held = f"k={VALUE}, {VALUE[:3]} and {VALUE[:-1]}", "", ""
    for begin in range(0, len(text), size):
        part, held = Mask((VALUE,)).split(held + text[begin : begin + size])
        shown += part
    assert shown + held == text.replace(VALUE, MASK)


@pytest.mark.parametrize(
    ("hosts", "url", "code"),
    [
        (("api.example.com",), "https://api.example.com:8443/x", None),
        (("*.example.com",), "https://a.b.example.com/", None),
        (("*.example.com",), "https://example.com/", "secret_host_refused"),
        (("*.example.com",), "https://badexample.com/", "secret_host_refused"),
        (("example.com",), "https://api.example.com/", "secret_host_refused"),
        (("example.com",), "https://example.com.evil.example/", "secret_host_refused"),
        (("example.com",), "http://example.com/", "secret_needs_https"),
        (("2001:db8::1",), "https://[2001:DB8:0::1]/", None),
    ],
)
def test_value_is_resolved_for_bound_hosts_only(hosts: tuple[str, ...], url: str, code: str | None) -> None:
    text = SecretText(("k=", replace(SECRET, hosts=hosts)))
    if code is None:
        assert text.resolve(read_target(url), POLICY) == f"k={VALUE}"
        return
    with pytest.raises(SecretRefusedError) as refused:
        text.resolve(read_target(url), POLICY)
    assert refused.value.code == code
    assert VALUE not in str(refused.value)


def test_literal_text_is_not_read_as_a_reference() -> None:
    # Without a database: nothing is looked up.
    assert open_pieces(None, "https://a.example/", ["{{ secrets.", "api }}"]) == "{{ secrets.api }}"  # type: ignore[arg-type]


def test_value_is_sent_to_bound_host(servers: tuple[WebServer, WebServer]) -> None:
    one, _ = servers
    both(one.url, limits=LIMITS)
    assert [seen.headers["Authorization"] for seen in one.seen] == [f"Bearer {VALUE}"] * 2


def test_redirect_to_other_origin_drops_header_and_to_same_keeps_it(servers: tuple[WebServer, WebServer]) -> None:
    one, other = servers
    one.answers["/same"] = (302, {"Location": f"{one.url}/away"}, b"")
    one.answers["/away"] = (302, {"Location": f"{other.url}/"}, b"")
    both(f"{one.url}/same", limits=LIMITS)
    assert [seen.path for seen in one.seen if VALUE in str(seen.headers)] == ["/same", "/away"] * 2
    assert len(other.seen) == 2
    assert [seen for seen in other.seen if "Authorization" in seen.headers] == []


def test_response_is_masked(servers: tuple[WebServer, WebServer]) -> None:
    one, _ = servers
    escaped = VALUE.replace('"', '\\"')
    one.answers["/"] = (200, {"X-Echo": f"<{VALUE}>"}, f'{VALUE} {{"a": "{escaped}"}}'.encode())
    for answer in both(one.url):
        assert answer.body == b'[secret] {"a": "[secret]"}'
        assert answer.header("x-echo") == "<[secret]>"


def test_truncated_response_contains_no_part_of_the_value(servers: tuple[WebServer, WebServer]) -> None:
    one, _ = servers
    one.answers["/"] = (200, {}, b"you sent " + VALUE.encode())
    for answer in both(one.url, limits=Limits(body_bytes=18)):
        assert (answer.body, answer.is_cut) == (b"you sent ", True)


def test_streamed_response_is_masked(servers: tuple[WebServer, WebServer]) -> None:
    one, _ = servers
    one.answers["/"] = (200, {"X-Echo": VALUE}, VALUE.encode())

    async def read() -> tuple[str, bytes]:
        async with open_stream("GET", one.url, headers=[("X-Key", TEXT)]) as stream:
            return stream.answer.header("x-echo"), (await stream.read()).body

    assert asyncio.run(read()) == ("[secret]", b"[secret]")
