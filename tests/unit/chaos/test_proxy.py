"""Effects of the proxy on connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.acceptance.proxy import Pair, Proxy

PATIENCE_SECONDS = 10.0
# Seconds of silence after which nothing counts as received.
SILENCE_SECONDS = 0.3


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Run a server that returns what it receives."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(end: socket.socket) -> None:
        with end, suppress(OSError):
            while data := end.recv(1_000):
                end.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                end, _ = listener.accept()
                threading.Thread(target=answer, args=(end,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[:2]
    listener.close()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    opened = Proxy(echo)
    yield opened
    opened.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_SECONDS)


def ask(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return client.recv(1_000)


def is_silent(client: socket.socket) -> bool:
    client.sendall(b"hello")
    client.settimeout(SILENCE_SECONDS)
    try:
        return client.recv(1_000) == b"never"
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_SECONDS)


def test_proxy_passes_bytes_in_both_directions(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_frozen_connections_receive_nothing_and_new_ones_are_passed(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert ask(old) == b"hello"
        assert proxy.freeze() == 1
        assert is_silent(old)
        with connect(proxy) as new:
            assert ask(new) == b"hello"


def test_proxy_delays_bytes(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.delay(0.2)
        began = time.monotonic()
        assert ask(client) == b"hello"
        assert time.monotonic() - began >= 0.4


def test_proxy_resets_connections(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionError):
            client.recv(1_000)
        with connect(proxy) as again:
            assert ask(again) == b"hello"


def test_proxy_refuses_until_it_accepts_again_on_the_same_port(proxy: Proxy) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.accept()
    assert proxy.port == port
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_black_hole_silences_old_and_new_connections(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert ask(old) == b"hello"
        proxy.blackhole()
        with connect(proxy) as new:
            assert is_silent(old)
            assert is_silent(new)
        proxy.blackhole(is_on=False)
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_tap_may_end_a_connection_instead_of_passing_an_answer(echo: tuple[str, int]) -> None:
    seen = []

    def swallow(pair: Pair, is_reply: bool, data: bytes) -> bool:
        seen.append((is_reply, data))
        return not is_reply

    proxy = Proxy(echo, tap=swallow)
    try:
        with connect(proxy) as client:
            client.sendall(b"hello")
            with suppress(ConnectionError):
                assert client.recv(1_000) == b""
        assert seen == [(False, b"hello"), (True, b"hello")]
    finally:
        proxy.close()
