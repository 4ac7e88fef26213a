"""Where the peers run: their environment's programs, and databases that the platform does not use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from django.conf import settings
from psycopg import sql

from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import Processes
from benchmarks.peers.catalogue import PEERS, Peer, Servers, Setup

# The folder of the programs of the peers' environment.
PROGRAMS = "PEER_PROGRAMS"
APPS = Path(__file__).parent / "apps"
DATABASE, BROKER_DATABASE = "benchmark_peers", 9
_VERSIONS = "import importlib.metadata as m, sys; print(*[m.version(p) for p in sys.argv[1:]])"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a peer: its setup, and the call that enqueues its backlog."""

    peer: Peer
    setup: Setup
    enqueue: str
    record: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of all processes of the turn."""
        django = {"DJANGO_SETTINGS_MODULE": "django_settings", "PEER": self.peer.django} if self.peer.django else {}
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "",  # not the platform's
            **django,
            **({"PEER_RECORD": str(self.record)} if self.record else {}),
            "PEER_DATABASE_URL": _database_url(),
            "PEER_REDIS_URL": _broker_url(),
            "PYTHONPATH": str(APPS),
        }

    def call(self, code: str) -> None:
        """Run Python in the peers' environment, with the peer's module as ``peer``."""
        run_program(("{bin}/python", "-c", f"import {self.peer.module} as peer\n{code}"), self.environment())

    @contextmanager
    def running(self, folder: Path) -> Iterator[tuple[Servers, Processes]]:
        """Enqueue the backlog on empty servers and start the workers; kill them and clear the servers at the end."""
        processes = Processes(folder)
        with (
            _fresh_database(),
            redis.Redis.from_url(_broker_url()) as broker,
            psycopg.connect(_database_url(), autocommit=True) as database,
        ):
            broker.flushdb()
            try:
                if self.peer.django:
                    run_program(("{bin}/django-admin", "migrate", "--verbosity=0"), self.environment())
                self.call(self.enqueue)
                # As autovacuum does in the background, and as is done for the platform's backlog.
                database.execute("VACUUM (ANALYZE)")
                for command in self.setup.workers:
                    processes.workers.append(
                        processes.run(_fill(command), log=self.peer.module, environment=self.environment(), folder=APPS)
                    )
                yield Servers(broker, database), processes
                for process in list(processes.workers):
                    processes.kill(process)
            finally:
                processes.stop()
                broker.flushdb()


def read_versions() -> Mapping[str, str]:
    """Return the installed version of each peer's package."""
    packages = [peer.package for peer in PEERS]
    answer = run_program(("{bin}/python", "-c", _VERSIONS, *packages), dict(os.environ))
    return dict(zip(packages, answer.split(), strict=True))


def run_program(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program of the peers' environment; return its output, raise MeasureFailedError if it fails."""
    done = subprocess.run(  # noqa: S603 - our own command
        _fill(command), cwd=APPS, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MeasureFailedError(f"{command[:2]} failed.\n{done.stderr[-2_000:]}")
    return done.stdout


def _fill(command: Sequence[str]) -> list[str]:
    return [part.format(bin=os.environ[PROGRAMS]) if part.startswith("{bin}") else part for part in command]


@contextmanager
def _fresh_database() -> Iterator[None]:
    name = sql.Identifier(DATABASE)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(drop)
        owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template1").format(name))
        try:
            yield
        finally:
            owner.execute(drop)


def _database_url() -> str:
    return urlsplit(os.environ["DATABASE_OWNER_URL"])._replace(path=f"/{DATABASE}").geturl()


def _broker_url() -> str:
    return urlsplit(settings.REDIS_URL)._replace(path=f"/{BROKER_DATABASE}").geturl()
