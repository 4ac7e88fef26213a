"""Names and addresses without a network: every public address leads to one local server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore
import pytest

from scheduling.kit.http import Answer, connections, send
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server


@dataclass
class World:
    """Names with their addresses, lookups, and connections."""

    server: WebServer
    names: dict[str, Sequence[str] | Exception] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)

    def look_up(self, name: str, port: int) -> Sequence[str]:
        self.looked_up.append(name)
        found = self.names.get(name.removesuffix("."), [name])
        if isinstance(found, Exception):
            raise found
        return found

    def call(self, url: str, method: str = "GET", **options: Any) -> Answer:
        return send(method, url, look_up=self.look_up, **options)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def world(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(server)
    connect = httpcore.SyncBackend.connect_tcp

    def connect_to_server(backend: Any, host: str, port: int, **options: Any) -> Any:
        made.connected.append((host, port))
        return connect(backend, "127.0.0.1", server.port, **options)

    monkeypatch.setattr(connections.httpcore.SyncBackend, "connect_tcp", connect_to_server)
    return made


@pytest.fixture
def allow(change_platform_settings: ChangePlatformSettings) -> Callable[..., None]:
    """Return a function that allows internal hosts, each host:port."""

    def set_allowed(*hosts: str) -> None:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=list(hosts))

    return set_allowed
