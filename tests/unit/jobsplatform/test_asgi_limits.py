"""Concurrent requests are limited; open streams, long polls and slow clients do not block others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobsplatform.asgi_limits import ALWAYS_OPEN, RequestLimiter
from tenants.requests.long_polls import LEAVE_ENTRANCE

PATHS = ["/api/v1/jobs/stream/", "/api/v1/jobs/", "/admin/"]


class Server:
    """Application whose answers begin and end on command of the test."""

    def __init__(self) -> None:
        self.inside = 0
        self._entered = asyncio.Semaphore(0)
        self.may_begin = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self.inside += 1
        self._entered.release()
        if scope["path"].startswith("/waiting"):
            scope[LEAVE_ENTRANCE]()
        await self.may_begin.wait()
        if scope["path"].startswith("/broken"):
            raise ConnectionResetError
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body", "more_body": True})
        await self.may_end.wait()
        await send({"type": "http.response.body", "more_body": False})

    async def see(self, count: int) -> None:
        """Return once this many more requests have arrived."""
        async with asyncio.timeout(30):
            for _ in range(count):
                await self._entered.acquire()


async def receive() -> Any:
    return {"type": "http.request"}


async def send(message: Any) -> None:
    pass


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def ask(
    entrance: RequestLimiter, path: str, count: int, receive: Any = receive, send: Any = send
) -> list[asyncio.Task[None]]:
    scope = {"type": "http", "path": path}
    return [asyncio.ensure_future(entrance(scope, receive, send)) for _ in range(count)]


@pytest.mark.parametrize("path", PATHS)
def test_concurrent_requests_are_limited_until_one_is_answered(path: str) -> None:
    async def main() -> int:
        server = Server()
        asked = ask(RequestLimiter(server, at_once=2), path, 5)
        await settle()
        before = server.inside
        server.may_begin.set()
        await server.see(5)
        server.may_end.set()
        await asyncio.gather(*asked)
        return before

    assert asyncio.run(main()) == 2


def test_long_polls_do_not_occupy_a_place() -> None:
    async def main() -> None:
        server = Server()
        asked = ask(RequestLimiter(server, at_once=1), "/waiting/", 5)
        await server.see(5)
        server.may_begin.set()
        server.may_end.set()
        await asyncio.gather(*asked)

    asyncio.run(main())


def test_probe_needs_no_place() -> None:
    async def main() -> None:
        server = Server()
        asked = ask(RequestLimiter(server, at_once=1), ALWAYS_OPEN, 5)
        await server.see(5)
        server.may_begin.set()
        server.may_end.set()
        await asyncio.gather(*asked)

    asyncio.run(main())


@pytest.mark.parametrize("slow", ["body", "client"])
def test_slow_client_does_not_block_other_requests(slow: str) -> None:
    async def never_ending() -> Any:
        await settle()
        return {"type": "http.request", "more_body": True}

    async def never_taken(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def main() -> None:
        server = Server()
        server.may_begin.set()
        server.may_end.set()
        entrance = RequestLimiter(server, at_once=1)
        slow_ones = ask(
            entrance,
            "/slow/",
            3,
            receive=never_ending if slow == "body" else receive,
            send=never_taken if slow == "client" else send,
        )
        await settle()
        async with asyncio.timeout(30):
            await asyncio.gather(*ask(entrance, "/quick/", 2))
        for one in slow_ones:
            one.cancel()
        await asyncio.gather(*slow_ones, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["broken", "cancelled"])
def test_unanswered_request_releases_its_place(how: str) -> None:
    async def main() -> None:
        server = Server()
        entrance = RequestLimiter(server, at_once=1)
        [first] = ask(entrance, "/broken/stream/", 1)
        await server.see(1)
        [second] = ask(entrance, "/jobs/stream/", 1)
        if how == "cancelled":
            first.cancel()
        else:
            server.may_begin.set()
        await server.see(1)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(main())
