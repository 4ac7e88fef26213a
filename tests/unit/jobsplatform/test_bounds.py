"""Heads and bodies are bounded before the application sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from jobsplatform import asgi_limits
from jobsplatform.asgi_limits import ALWAYS_OPEN, RequestLimiter
from jobsplatform.request_heads import MAX_HEADER_BYTES, MAX_HOST_BYTES, MAX_TARGET_BYTES, RequestHeadLimiter
from scheduling.api.filters import MAX_QUERY_CHARACTERS
from tenants.exceptions import BodiesBusyError, DatabaseUnavailableError
from tenants.requests.asgi_access import ANONYMOUS_BOUNDS, BodyLimits
from tenants.requests.bodies import MAX_ANONYMOUS_BYTES, BodyReservation
from tests.platform_settings import ChangePlatformSettings

KEY = (b"authorization", b"Api-Key a.b")
PART = b"x" * 16 * 1024
LIMIT_OF_ROUTE = 20 * len(PART)
ACME, GLOBEX = UUID(int=1), UUID(int=2)


class Application:
    """ASGI application that reads the whole body, as Django's does, and answers with 200."""

    def __init__(self) -> None:
        self.parts_read = 0
        self.is_called = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.is_called = True
        while (message := await receive()).get("more_body"):
            self.parts_read += 1
        if message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class Client:
    """Client that sends parts, each after `seconds`, and records the response."""

    def __init__(self, parts: int, *, seconds: float = 0.0) -> None:
        self._left = parts
        self._seconds = seconds
        self.answers: list[Any] = []

    async def receive(self) -> Any:
        await asyncio.sleep(self._seconds)
        self._left -= 1
        return {"type": "http.request", "body": PART, "more_body": self._left > 0}

    async def send(self, message: Any) -> None:
        self.answers.append(message)

    @property
    def status(self) -> int:
        return int(self.answers[0]["status"])

    @property
    def code(self) -> str | None:
        code: str | None = json.loads(self.answers[1]["body"]).get("code")
        return code


def ask(
    parts: int = 1, headers: Iterable[tuple[bytes, bytes]] = (), *, seconds: float = 0.0, **scope: Any
) -> tuple[Client, Application]:
    application, client = Application(), Client(parts, seconds=seconds)
    asked = {"type": "http", "method": "POST", "path": "/api/v1/jobs/", "headers": list(headers), **scope}
    asyncio.run(RequestLimiter(application)(asked, client.receive, client.send))
    return client, application


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often credentials are looked up; those of `/anonymous/` are not valid."""
    asked: list[str] = []

    def look_up(scope: dict[str, Any]) -> BodyLimits:
        asked.append(scope["path"])
        return ANONYMOUS_BOUNDS if scope["path"] == "/anonymous/" else BodyLimits(LIMIT_OF_ROUTE, ACME)

    monkeypatch.setattr(asgi_limits, "body_limits_of", look_up)
    return asked


HEADS: list[tuple[dict[str, Any], int, str]] = [
    ({"path": "/" + "a" * MAX_TARGET_BYTES}, 414, "uri_too_long"),
    ({"path": "/", "query_string": b"a" * MAX_TARGET_BYTES}, 414, "uri_too_long"),
    ({"path": "/", "headers": [(b"host", b"a" * (MAX_HOST_BYTES + 1))]}, 400, "host_invalid"),
    ({"path": "/", "headers": [(b"x-a", b"a" * MAX_HEADER_BYTES)]}, 431, "headers_too_large"),
    ({"path": ALWAYS_OPEN, "headers": [(b"x-a", b"a" * MAX_HEADER_BYTES)]}, 431, "headers_too_large"),
]


@pytest.mark.parametrize(("scope", "status", "code"), HEADS)
def test_head_that_is_too_long_is_refused_by_both_servers(scope: dict[str, Any], status: int, code: str) -> None:
    client, application = ask(**scope)
    assert (client.status, client.code, application.is_called) == (status, code, False)
    assert (b"connection", b"close") in client.answers[0]["headers"]

    environ = {"PATH_INFO": scope["path"], "QUERY_STRING": scope.get("query_string", b"").decode()}
    for name, value in scope.get("headers", []):
        environ[f"HTTP_{name.decode().upper().replace('-', '_')}"] = value.decode()
    lines: list[str] = []
    answer = RequestHeadLimiter(_never)(environ, lambda line, _headers: lines.append(line))
    assert (int(lines[0].split()[0]), json.loads(b"".join(answer))["code"]) == (status, code)


def _never(_environ: object, _start_response: object) -> Iterable[bytes]:
    raise AssertionError("The application was called.")


def test_head_that_fits_is_passed_on() -> None:
    headers = [(b"host", b"a" * MAX_HOST_BYTES), (b"x-a", b"a" * (MAX_HEADER_BYTES - MAX_HOST_BYTES - 7))]
    assert ask(path="/" + "a" * (MAX_TARGET_BYTES - 1), headers=headers)[0].status == 200
    environ = {"PATH_INFO": "/" + "a" * (MAX_TARGET_BYTES - 1), "HTTP_HOST": "a" * MAX_HOST_BYTES}
    assert RequestHeadLimiter(lambda _environ, _start: [b"passed"])(environ, lambda *_: None) == [b"passed"]


def test_longest_filter_of_a_list_fits_into_an_address() -> None:
    assert ask(path="/api/v1/jobs/", query_string=b"q=" + b"a%3A" * (MAX_QUERY_CHARACTERS // 2))[0].status == 200


def test_declared_length_over_the_limit_is_refused_unread(lookups: list[str]) -> None:
    client, application = ask(headers=[(b"content-length", b"20000000000"), KEY])
    assert (client.status, client.code, application.is_called) == (413, "body_too_large", False)
    assert len(lookups) == 1


def test_body_without_credentials_is_refused_without_lookup(lookups: list[str]) -> None:
    client, application = ask(headers=[(b"content-length", b"%d" % (MAX_ANONYMOUS_BYTES + 1))])
    assert (client.status, client.code, application.is_called, lookups) == (413, "body_too_large", False, [])


@pytest.mark.parametrize("path", ["/anonymous/", ALWAYS_OPEN])
def test_declared_length_without_valid_credentials_is_refused_unread(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    if path == ALWAYS_OPEN:
        monkeypatch.undo()
    size = str(MAX_ANONYMOUS_BYTES + 1).encode()
    client, application = ask(path=path, headers=[(b"content-length", size), KEY])
    assert (client.status, client.code, application.is_called) == (413, "body_too_large", False)


@pytest.mark.parametrize(("path", "limit"), [("/anonymous/", MAX_ANONYMOUS_BYTES), ("/api/v1/jobs/", LIMIT_OF_ROUTE)])
def test_body_in_chunks_is_cut_off_at_its_limit(lookups: list[str], path: str, limit: int) -> None:
    fits = limit // len(PART)
    client, application = ask(fits, [KEY], path=path)
    assert (client.status, application.parts_read) == (200, fits - 1)
    client, application = ask(1_000, [KEY], path=path)
    assert (client.status, client.code, application.parts_read) == (413, "body_too_large", fits)


def test_small_body_causes_no_lookup(lookups: list[str]) -> None:
    assert ask(4, headers=[(b"content-length", b"65536")])[0].status == 200
    assert lookups == []


def test_body_is_refused_at_once_if_body_space_is_taken(
    lookups: list[str], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(BODY_SPACE_BYTES=2 * LIMIT_OF_ROUTE)
    length = str(LIMIT_OF_ROUTE).encode()
    with BodyReservation("") as others, BodyReservation("") as platform:
        others.take(LIMIT_OF_ROUTE, owner=GLOBEX)
        platform.take(1, owner=None)
        client, application = ask(headers=[(b"content-length", length), KEY])
        assert (client.status, client.code, application.is_called) == (503, "bodies_busy", False)
        assert (b"retry-after", b"5") in client.answers[0]["headers"]
    assert ask(20, headers=[(b"content-length", length), KEY])[0].status == 200
    with BodyReservation("") as one, BodyReservation("") as other:
        one.take(LIMIT_OF_ROUTE, owner=ACME)
        other.take(LIMIT_OF_ROUTE, owner=GLOBEX)


def test_tenant_takes_at_most_half_of_the_body_space(
    lookups: list[str], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(BODY_SPACE_BYTES=2 * LIMIT_OF_ROUTE)
    length = str(LIMIT_OF_ROUTE).encode()
    with BodyReservation("") as own:
        own.take(1, owner=ACME)
        client, application = ask(headers=[(b"content-length", length), KEY])
        assert (client.status, client.code, application.is_called) == (503, "bodies_busy", False)
        with BodyReservation("") as others:
            others.take(LIMIT_OF_ROUTE, owner=GLOBEX)
        with BodyReservation("") as platform, pytest.raises(BodiesBusyError):
            platform.take(1, owner=ACME)
            platform.take(LIMIT_OF_ROUTE - 1, owner=ACME)


def test_body_larger_than_half_of_the_body_space_is_too_large(
    lookups: list[str], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(BODY_SPACE_BYTES=2 * LIMIT_OF_ROUTE - 2)
    client, application = ask(headers=[(b"content-length", str(LIMIT_OF_ROUTE).encode()), KEY])
    assert (client.status, client.code, application.is_called) == (413, "body_too_large", False)


@pytest.mark.parametrize(
    "headers",
    [[(b"content-length", b"131072"), KEY], [(b"content-length", b"65536")], [KEY], [(b"content-length", b"32768")]],
)
def test_body_below_the_least_rate_is_refused(
    lookups: list[str],
    change_platform_settings: ChangePlatformSettings,
    monkeypatch: pytest.MonkeyPatch,
    headers: list[tuple[bytes, bytes]],
) -> None:
    change_platform_settings(RECEIVE_GRACE_SECONDS=0.0)
    monkeypatch.setattr(asgi_limits, "REST_SECONDS", 0.01)
    # The first part is 16 KiB, which allows an eighth of a second.
    client, application = ask(1_000, headers, seconds=0.25)
    assert (client.status, client.code, application.parts_read) == (408, "body_too_slow", 0)
    assert (b"connection", b"close") in client.answers[0]["headers"]


def test_client_that_waits_for_an_answer_is_not_slow(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(RECEIVE_GRACE_SECONDS=0.05)

    async def wait_for_leaving(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.wait_for(receive(), 30)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    class Leaving(Client):
        async def receive(self) -> Any:
            if self._left:
                return await super().receive()
            await asyncio.sleep(0.3)
            return {"type": "http.disconnect"}

    client = Leaving(1)
    scope = {"type": "http", "path": "/api/v1/jobs/", "headers": []}
    asyncio.run(RequestLimiter(wait_for_leaving)(scope, client.receive, client.send))
    assert client.status == 200


def test_place_is_released_after_failed_credential_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_scope: object) -> int:
        raise DatabaseUnavailableError

    monkeypatch.setattr(asgi_limits, "body_limits_of", fail)

    async def main() -> list[int]:
        passed = RequestLimiter(Application(), at_once=1)
        clients = [Client(1) for _ in range(3)]
        for client in clients:
            scope = {"type": "http", "path": "/api/v1/jobs/", "headers": [(b"content-length", b"100000"), KEY]}
            await asyncio.wait_for(passed(scope, client.receive, client.send), 30)
        return [client.status for client in clients]

    assert asyncio.run(main()) == [503, 503, 503]
