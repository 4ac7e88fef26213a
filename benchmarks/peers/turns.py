"""One turn of a peer: a backlog, two worker processes, and how fast it goes down."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from django.conf import settings
from psycopg import sql

from benchmarks.fair.parts import MeasureFailedError
from benchmarks.fair.processes import Processes
from benchmarks.peers.catalogue import Peer, Servers

APPS = Path(__file__).parent / "apps"
DATABASE = "benchmark_peers"
# None that the platform uses.
BROKER_DATABASE = 9
READY_SECONDS, TURN_SECONDS = 60.0, 8.0
LOOK_SECONDS = 0.05
# What is measured lies between these parts of the backlog: neither the start of the processes nor their last jobs.
FIRST_PART, LAST_PART = 0.97, 0.05


class Playground:
    """Where the peers run: their environment's programs, and servers on which nobody else is."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._database_url = urlsplit(os.environ["DATABASE_OWNER_URL"])._replace(path=f"/{DATABASE}").geturl()
        self._redis_url = urlsplit(settings.REDIS_URL)._replace(path=f"/{BROKER_DATABASE}").geturl()

    def take_turn(self, peer: Peer) -> float:
        """Jobs a second of a peer that is alone on the machine. Raises MeasureFailedError where it does not run."""
        environment = {
            **os.environ,
            # Not the platform's.
            "DJANGO_SETTINGS_MODULE": "",
            **peer.environment,
            "PEER_DATABASE_URL": self._database_url,
            "PEER_REDIS_URL": self._redis_url,
            "PYTHONPATH": str(APPS),
        }
        with self._servers() as servers:
            enqueue = f"import {peer.module} as peer; peer.enqueue({peer.jobs})"
            for command in [*peer.prepare, ("{bin}/python", "-c", enqueue)]:
                self._run(command, environment)
            processes = Processes(self._folder)
            try:
                for command in peer.workers:
                    processes.workers.append(
                        processes.run(self._filled(command), log=peer.module, environment=environment, folder=APPS)
                    )
                return _rate(peer, servers, processes)
            finally:
                processes.stop()

    def versions(self, packages: Sequence[str]) -> Mapping[str, str]:
        """What of each package is installed."""
        program = "import importlib.metadata as m, sys; print(*[m.version(p) for p in sys.argv[1:]])"
        command = [str(self._programs / "python"), "-c", program, *packages]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
        return dict(zip(packages, answer.stdout.split(), strict=True))

    @contextmanager
    def _servers(self) -> Iterator[Servers]:
        """Empty ones."""
        name = sql.Identifier(DATABASE)
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
            owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            owner.execute(sql.SQL("CREATE DATABASE {}").format(name))
        with redis.Redis.from_url(self._redis_url) as broker:
            broker.flushdb()
            with psycopg.connect(self._database_url, autocommit=True) as database:
                yield Servers(broker, database)
            broker.flushdb()

    def _filled(self, command: Sequence[str]) -> list[str]:
        return [part.format(bin=self._programs, redis=self._redis_url) for part in command]

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        done = subprocess.run(  # noqa: S603 - our own command
            self._filled(command), cwd=APPS, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MeasureFailedError(f"{command} ended with status {done.returncode}.\n{done.stderr[-2_000:]}")


def _rate(peer: Peer, servers: Servers, processes: Processes) -> float:
    most, least = peer.jobs * FIRST_PART, peer.jobs * LAST_PART
    processes.wait_until(lambda: peer.left(servers) <= most, within=READY_SECONDS, what=f"{peer.name} takes jobs")
    before, began = peer.left(servers), time.monotonic()
    left = before
    while left > least and time.monotonic() - began < TURN_SECONDS:
        time.sleep(LOOK_SECONDS)
        processes.require_alive()
        left = peer.left(servers)
    return (before - left) / (time.monotonic() - began)
