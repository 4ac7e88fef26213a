"""The same client on an event loop: what `send` refuses is refused here, and limits hold."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from scheduling.kit.http import (
    AddressRefusedError,
    Answer,
    Limits,
    NoAnswerError,
    RedirectRefusedError,
    RequestRefusedError,
    UrlRefusedError,
    open_stream,
    send_async,
)
from scheduling.kit.http.streaming import LOOK_UPS_AT_ONCE
from scheduling.kit.runtime import running_tenant
from tests.web_server import web_server


def call(method: str, url: str, **options) -> Answer:
    return asyncio.run(send_async(method, url, **options))


@pytest.fixture
def server():
    with web_server() as server:
        yield server


@pytest.fixture
def opened(server, change_platform_settings):
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{server.port}"])
    return server


def test_stream_sends_and_reads(opened) -> None:
    answer = call("POST", f"{opened.url}/a?b=c", headers=[("X-One", "1")], body=b"data")
    assert (answer.status, answer.body, answer.is_cut) == (200, b"hello", False)
    (seen,) = opened.seen
    assert (seen.method, seen.path, seen.body, seen.headers["X-One"]) == ("POST", "/a?b=c", b"data", "1")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1/", AddressRefusedError),
        ("http://10.0.0.1/", AddressRefusedError),
        ("http://169.254.169.254/latest", AddressRefusedError),
        ("http://[::1]/", AddressRefusedError),
        ("http://intranet/", AddressRefusedError),
        ("http://0x7f.1/", UrlRefusedError),
        ("ftp://example.com/", UrlRefusedError),
        ("http://user:word@example.com/", UrlRefusedError),
    ],
)
def test_internal_address_is_refused(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        call("GET", url)


def test_all_addresses_of_a_name_are_checked() -> None:
    with pytest.raises(AddressRefusedError):
        call("GET", "http://example.com/", look_up=lambda name, port: ["93.184.216.34", "192.168.0.1"])


def test_name_without_address_is_reported() -> None:
    def look_up(name: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(NoAnswerError) as caught:
        call("GET", "http://example.com/", look_up=look_up)
    assert caught.value.code == "name_not_found"


def test_reserved_header_is_refused(opened) -> None:
    with pytest.raises(RequestRefusedError):
        call("GET", opened.url, headers=[("Host", "elsewhere")])
    assert opened.seen == []


def test_body_is_truncated_at_its_limit(opened) -> None:
    answer = call("GET", opened.url, limits=Limits(body_bytes=3))
    assert (answer.body, answer.is_cut) == (b"hel", True)


def test_redirects_are_followed_up_to_the_limit(opened) -> None:
    opened.answers["/a"] = (302, {"Location": "/b"}, b"")
    assert call("GET", f"{opened.url}/a", limits=Limits(redirects=1)).redirects == 1
    opened.answers["/b"] = (302, {"Location": "/a"}, b"")
    with pytest.raises(RedirectRefusedError):
        call("GET", f"{opened.url}/a", limits=Limits(redirects=1))
    opened.answers["/b"] = (302, {"Location": "http://10.0.0.1/"}, b"")
    with pytest.raises(AddressRefusedError):
        call("GET", f"{opened.url}/a", limits=Limits(redirects=2))


def test_cancelled_call_closes_its_connection(opened) -> None:
    begun = threading.Event()

    async def wait_and_cancel() -> None:
        task = asyncio.create_task(send_async("GET", opened.url, look_up=slow_look_up))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def slow_look_up(name: str, port: int) -> list[str]:
        begun.set()
        time.sleep(0.3)
        return ["127.0.0.1"]

    asyncio.run(wait_and_cancel())
    assert opened.seen == []


def test_slow_lookup_times_out(opened) -> None:
    def look_up(name: str, port: int) -> list[str]:
        time.sleep(0.5)
        return ["127.0.0.1"]

    with pytest.raises(NoAnswerError) as caught:
        call("GET", opened.url, look_up=look_up, limits=Limits(connect_seconds=0.05))
    assert caught.value.code == "timed_out"


def test_stream_is_read_in_parts(opened) -> None:
    async def read() -> list[bytes]:
        async with open_stream("GET", opened.url) as stream:
            assert stream.answer.status == 200
            return [part async for part in stream.parts()]

    assert b"".join(asyncio.run(read())) == b"hello"


def test_tenants_slow_names_leave_threads_to_other_tenants(opened) -> None:
    started, asked = threading.Semaphore(0), []
    is_over = threading.Event()

    def look_up_slowly(name: str, port: int) -> list[str]:
        asked.append(name)
        started.release()
        assert is_over.wait(20)
        return ["127.0.0.1"]

    def call_of(tenant_id: UUID, look_up, seconds: float = 20.0) -> asyncio.Task[Answer]:
        running_tenant.set(tenant_id)
        return asyncio.create_task(
            send_async("GET", opened.url, look_up=look_up, limits=Limits(connect_seconds=seconds))
        )

    async def call_all() -> None:
        slow, other = uuid4(), uuid4()
        cancelled = [call_of(slow, look_up_slowly) for _ in range(LOOK_UPS_AT_ONCE)]
        for _ in cancelled:
            assert await asyncio.to_thread(started.acquire, timeout=20)
        for task in cancelled:
            task.cancel()
        await asyncio.wait(cancelled)
        with pytest.raises(NoAnswerError) as caught:
            await call_of(slow, look_up_slowly, seconds=0.05)
        assert caught.value.code == "timed_out"
        # The threads of the cancelled calls have not ended.
        assert len(asked) == LOOK_UPS_AT_ONCE
        assert (await call_of(other, lambda name, port: ["127.0.0.1"])).status == 200
        late = call_of(slow, look_up_slowly)
        is_over.set()
        assert (await late).status == 200

    async def with_threads() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOK_UPS_AT_ONCE + 2))
        await call_all()

    try:
        asyncio.run(with_threads())
    finally:
        is_over.set()
