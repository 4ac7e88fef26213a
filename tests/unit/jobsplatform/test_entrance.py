"""Streams begin a few at a time; what is open, and what is no stream, holds nobody up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobsplatform.entrance import StreamEntrance


class Server:
    """An application whose answers begin, and end, when the test says so."""

    def __init__(self) -> None:
        self.inside = 0
        self.may_begin = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        await self.may_begin.wait()
        if scope["path"].startswith("/broken"):
            raise ConnectionResetError
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body", "more_body": True})
        await self.may_end.wait()
        await send({"type": "http.response.body", "more_body": False})


async def receive() -> Any:
    return {"type": "http.disconnect"}


async def send(message: Any) -> None:
    pass


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def ask(entrance: StreamEntrance, path: str, count: int) -> list[asyncio.Task[None]]:
    scope = {"type": "http", "path": path}
    return [asyncio.ensure_future(entrance(scope, receive, send)) for _ in range(count)]  # type: ignore[arg-type]


def test_few_streams_begin_at_once_and_those_that_are_open_let_others_in() -> None:
    async def main() -> tuple[int, int]:
        server = Server()
        asked = ask(StreamEntrance(server, at_once=2), "/api/v1/jobs/stream/", 5)
        await settle()
        before = server.inside
        server.may_begin.set()
        await settle()
        after = server.inside
        server.may_end.set()
        await asyncio.gather(*asked)
        return before, after

    assert asyncio.run(main()) == (2, 5)


def test_what_is_no_stream_waits_for_nobody() -> None:
    async def main() -> int:
        server = Server()
        asked = ask(StreamEntrance(server, at_once=1), "/api/v1/jobs/", 5)
        await settle()
        inside = server.inside
        server.may_begin.set()
        server.may_end.set()
        await asyncio.gather(*asked)
        return inside

    assert asyncio.run(main()) == 5


@pytest.mark.parametrize("how", ["broken", "cancelled"])
def test_a_stream_that_never_opened_gives_its_place_back(how: str) -> None:
    async def main() -> int:
        server = Server()
        entrance = StreamEntrance(server, at_once=1)
        [first] = ask(entrance, "/broken/stream/", 1)
        [second] = ask(entrance, "/jobs/stream/", 1)
        await settle()
        if how == "cancelled":
            first.cancel()
        else:
            server.may_begin.set()
        await settle()
        inside = server.inside
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        return inside

    assert asyncio.run(main()) == 2
