"""Where the peers run: their environment's programs, and servers on which nobody else is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg
import redis
from django.conf import settings
from psycopg import sql

from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import Processes
from benchmarks.peers.catalogue import Command, Peer, Servers, Setup

APPS = Path(__file__).parent / "apps"
DATABASE = "benchmark_peers"
# None that the platform uses.
BROKER_DATABASE = 9
# Keys of a kept backlog that are copied together.
KEYS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Turn:
    """What runs in a peer's turn: its settings of that table, where its module lies, and the call that enqueues."""

    peer: Peer
    setup: Setup
    folder: Path
    enqueue: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Backlog:
    """A backlog as it was enqueued once: a database that others are made from, and the broker's keys."""

    database: str
    keys: Mapping[bytes, bytes]


class Playground:
    """Leaves nothing behind. A turn's backlog is enqueued by the peer once; later turns begin with a copy of it."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._redis_url = urlsplit(settings.REDIS_URL)._replace(path=f"/{BROKER_DATABASE}").geturl()
        self._backlogs: dict[str, _Backlog] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._broker = self._stack.enter_context(redis.Redis.from_url(self._redis_url))
        self._owner = self._stack.enter_context(psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True))
        self._stack.callback(self._broker.flushdb)
        self._stack.callback(self._drop, DATABASE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    @contextmanager
    def running(self, turn: Turn) -> Iterator[tuple[Servers, Processes]]:
        """A peer's workers before its backlog, alone on the machine; killed in the end, for nothing of it is kept."""
        self._lay_out(turn)
        processes = Processes(self._folder)
        with psycopg.connect(_url_of(DATABASE), autocommit=True) as database:
            try:
                for command in turn.setup.workers:
                    processes.workers.append(
                        processes.run(
                            self._filled(command),
                            log=turn.peer.module,
                            environment=self._environment(turn, command),
                            folder=turn.folder,
                        )
                    )
                yield Servers(self._broker, database), processes
                for process in list(processes.workers):
                    processes.kill(process)
            finally:
                processes.stop()

    def call(self, turn: Turn, code: str) -> None:
        """Run Python in the peers' environment, with the peer's module as ``peer``."""
        self._run(turn, Command(("{bin}/python", "-c", f"import {turn.peer.module} as peer\n{code}")))

    def versions(self, packages: Sequence[str]) -> Mapping[str, str]:
        """What of each package is installed."""
        program = "import importlib.metadata as m, sys; print(*[m.version(p) for p in sys.argv[1:]])"
        command = [str(self._programs / "python"), "-c", program, *packages]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
        return dict(zip(packages, answer.stdout.split(), strict=True))

    def _lay_out(self, turn: Turn) -> None:
        """A broker and a database as they are when the turn's jobs have been enqueued, and nothing else on them."""
        name = f"{DATABASE}_{turn.folder.name}_{turn.peer.module}"
        if (backlog := self._backlogs.get(name)) is None:
            backlog = self._backlogs[name] = self._enqueue(turn, name)
        self._drop(DATABASE)
        self._create(DATABASE, like=backlog.database)
        self._broker.flushdb()
        keys = list(backlog.keys.items())
        for first in range(0, len(keys), KEYS_AT_ONCE):
            pipeline = self._broker.pipeline(transaction=False)
            for key, value in keys[first : first + KEYS_AT_ONCE]:
                pipeline.restore(key, 0, value)
            pipeline.execute()

    def _enqueue(self, turn: Turn, name: str) -> _Backlog:
        self._broker.flushdb()
        self._drop(DATABASE)
        self._create(DATABASE)
        for command in turn.peer.prepare:
            self._run(turn, command)
        self.call(turn, turn.enqueue)
        with psycopg.connect(_url_of(DATABASE), autocommit=True) as database:
            # What autovacuum does in the background, as for the platform's own backlog.
            database.execute("VACUUM (ANALYZE)")
        self._drop(name)
        self._owner.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (DATABASE, name))))
        self._stack.callback(self._drop, name)
        keys = list(self._broker.scan_iter(count=KEYS_AT_ONCE))
        pipeline = self._broker.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        return _Backlog(name, dict(zip(keys, pipeline.execute(), strict=True)))

    def _create(self, name: str, *, like: str = "template1") -> None:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(like))
        self._owner.execute(made)

    def _drop(self, name: str) -> None:
        self._owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _environment(self, turn: Turn, command: Command) -> dict[str, str]:
        return {
            **os.environ,
            # Not the platform's.
            "DJANGO_SETTINGS_MODULE": "",
            **turn.peer.environment,
            **turn.environment,
            **command.environment,
            "PEER_DATABASE_URL": _url_of(DATABASE),
            "PEER_REDIS_URL": self._redis_url,
            "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(turn.folder), str(APPS)])),
        }

    def _filled(self, command: Command) -> list[str]:
        return [part.format(bin=self._programs, redis=self._redis_url) for part in command.words]

    def _run(self, turn: Turn, command: Command) -> None:
        done = subprocess.run(  # noqa: S603 - our own command
            self._filled(command),
            cwd=turn.folder,
            env=self._environment(turn, command),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MeasureFailedError(f"{turn.peer.name}: {command.words} ended badly.\n{done.stderr[-2_000:]}")


def _url_of(database: str) -> str:
    return urlsplit(os.environ["DATABASE_OWNER_URL"])._replace(path=f"/{database}").geturl()
