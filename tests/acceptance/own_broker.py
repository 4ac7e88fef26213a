"""Broker of one test, which can be killed and restarted empty at the same address."""

from __future__ import annotations

import secrets
from pathlib import Path

import redis

from jobsplatform.embedded.binaries import valkey_program
from jobsplatform.embedded.server_user import ServerUser
from jobsplatform.embedded.supervision import Server, bare_environment
from jobsplatform.embedded.valkey import ADMINISTRATOR, broker_url, start_valkey
from tests.acceptance.processes import STOP_SECONDS


class OwnBroker:
    """Valkey without persistence that ends with the tests: a restart empties it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_hex(8)
        self._server: Server | None = None
        self.start()

    @property
    def url(self) -> str:
        assert self._server is not None
        return broker_url(self._server.port, self._password)

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.process.pid

    def start(self) -> None:
        """Start it at its previous address."""
        self._server = start_valkey(
            valkey_program(),
            self._folder,
            password=self._password,
            identity=ServerUser.CALLER,
            environment=bare_environment("OWN_BROKER", "1"),
            port=self._server.port if self._server else None,
        )

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._server is not None
        self._server.process.kill()
        self._server.process.wait(STOP_SECONDS)

    def empty(self) -> None:
        """Run FLUSHALL, like an operator by mistake."""
        assert self._server is not None
        with redis.Redis.from_url(broker_url(self._server.port, self._password, ADMINISTRATOR)) as client:
            client.flushall()
