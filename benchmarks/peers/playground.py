"""The peers: what each stores of a job, how it is started, and its own databases apart from the platform's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import Processes
from tenants.database.platform_settings import platform_settings

AUTOVACUUM_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Setup:
    """The set-up of a peer in one part: a description, and the commands of its workers."""

    settings: str
    workers: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another job queue; its code is ``apps/MODULE.py``.

    ``jobs`` are enough for a turn at its rate; ``left`` counts the unfinished ones, in Redis or in PostgreSQL.
    ``django`` is the value of PEER for Django applications.
    """

    name: str
    package: str
    keeps: str
    module: str
    jobs: int
    left: Callable[[redis.Redis, psycopg.Connection[Any]], int]
    draining: Setup
    flooded: Setup
    django: str = ""


_CELERY = ("celery", "-A", "celery_app", "worker", "-c", "2", "--loglevel=WARNING")
_HUEY = ("huey_consumer", "huey_app.huey", "-k", "process", "-w", "2", "-q")
_DB_WORKER = ("django-admin", "db_worker", "--verbosity=0")
_DRAMATIQ = ("dramatiq", "dramatiq_app", "--processes", "2")
_PROCRASTINATE = ("procrastinate", "--app=procrastinate_app.app", "worker", "--concurrency")
_PRIORITY = "the flood's jobs at a lower priority"
_TWO = "two worker processes, a job at a time in each"


def _count(database: psycopg.Connection[Any], rows: str) -> int:
    (found,) = database.execute(f"SELECT count(*) FROM {rows}").fetchone()  # noqa: S608 - our own
    return int(found)


BARE_CELERY = Peer(
    *("Celery, bare", "celery", "nothing", "celery_app", 24_000),
    lambda broker, _: broker.llen("celery"),
    draining=Setup(
        "one prefork worker with two processes, a job at a time in each, prefetching 4 messages of one job for each "
        "(its default); results ignored",
        [_CELERY],
    ),
    flooded=Setup(
        f"{_PRIORITY} (`queue_order_strategy`), nothing prefetched, acknowledged late; two processes, a job at a time "
        "in each",
        [_CELERY],
    ),
)
PEERS = (
    Peer(
        *("huey", "huey", "nothing", "huey_app", 100_000),
        lambda broker, _: broker.llen("huey.redis.bench"),
        draining=Setup(f"one consumer with {_TWO}; no results", [_HUEY]),
        flooded=Setup(f"{_PRIORITY} (`PriorityRedisHuey`); {_TWO}", [_HUEY]),
    ),
    BARE_CELERY,
    Peer(
        *("Celery + django-celery-results", "django-celery-results", "a result", "celery_app", 8_000),
        lambda broker, _: broker.llen("celery"),
        draining=Setup("as bare Celery, with its results in PostgreSQL on persistent connections", [_CELERY]),
        flooded=Setup("as bare Celery, with its results in PostgreSQL", [_CELERY]),
        django="celery_results",
    ),
    Peer(
        *("Procrastinate", "procrastinate", "the job and its events", "procrastinate_app", 12_000),
        lambda _, database: _count(database, "procrastinate_jobs WHERE status IN ('todo', 'doing')"),
        draining=Setup("two worker processes, eight coroutines at once in each", [(*_PROCRASTINATE, "8")] * 2),
        flooded=Setup(f"{_PRIORITY}; {_TWO}", [(*_PROCRASTINATE, "1")] * 2),
    ),
    Peer(
        *("Dramatiq", "dramatiq", "nothing", "dramatiq_app", 60_000),
        lambda broker, _: broker.hlen("dramatiq:default.msgs"),
        draining=Setup(
            "two worker processes, eight threads in each (its default)", [(*_DRAMATIQ, "--queues", "default")]
        ),
        flooded=Setup(
            "the flood's jobs in a queue of their own and at a lower priority among the messages that a worker has "
            "fetched; two worker processes, one thread in each",
            [(*_DRAMATIQ, "--threads", "1", "--queues", "bulk", "quick")],
        ),
    ),
    Peer(
        *("django-tasks-db", "django-tasks-db", "the job and its result", "tasks", 8_000),
        lambda _, database: _count(database, "django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"),
        draining=Setup("two `db_worker` processes, a job at a time in each", [_DB_WORKER] * 2),
        flooded=Setup(f"{_PRIORITY}; two `db_worker` processes, a job at a time in each", [_DB_WORKER] * 2),
        django="django_tasks_db",
    ),
)
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

    def call(self, code: str) -> str:
        """Run Python in the peers' environment, with the peer's module as ``peer``; return its output."""
        return run_program(("python", "-c", f"import {self.peer.module} as peer\n{code}"), self.environment())

    @contextmanager
    def running(self, folder: Path) -> Iterator[tuple[Callable[[], int], Processes]]:
        """Enqueue the backlog on empty servers and start the workers; kill them and clear the servers at the end.

        Yield the function that counts the jobs that are left, and the workers.
        """
        processes = Processes(folder)
        with (
            _fresh_database(),
            redis.Redis.from_url(_broker_url()) as broker,
            psycopg.connect(_database_url(), autocommit=True) as database,
        ):
            broker.flushdb()
            try:
                if self.peer.django:
                    run_program(("django-admin", "migrate", "--verbosity=0"), self.environment())
                self.call(self.enqueue)
                # As autovacuum does in the background, and as is done for the platform's backlog.
                database.execute("VACUUM (ANALYZE)")
                for command in self.setup.workers:
                    processes.workers.append(
                        processes.run(_fill(command), log=self.peer.module, environment=self.environment(), folder=APPS)
                    )
                yield lambda: int(self.peer.left(broker, database)), processes
                for process in list(processes.workers):
                    processes.kill(process)
            finally:
                processes.stop()
                broker.flushdb()


def read_versions() -> Mapping[str, str]:
    """Return the installed version of each peer's package."""
    packages = [peer.package for peer in PEERS]
    answer = run_program(("python", "-c", _VERSIONS, *packages), dict(os.environ))
    return dict(zip(packages, answer.split(), strict=True))


def run_program(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program of the peers' environment; return its output, raise `MeasureFailedError` if it fails."""
    done = subprocess.run(  # noqa: S603 - our own command
        _fill(command), cwd=APPS, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MeasureFailedError(f"{command[:2]} failed.\n{done.stderr[-2_000:]}")
    return done.stdout


def _fill(command: Sequence[str]) -> list[str]:
    return [str(Path(os.environ[PROGRAMS], command[0])), *command[1:]]


@contextmanager
def _fresh_database() -> Iterator[None]:
    name = sql.Identifier(DATABASE)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        _drop(owner)
        owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template1").format(name))
        try:
            yield
        finally:
            _drop(owner)


def _drop(owner: psycopg.Connection[Any]) -> None:
    """Drop the database, after the server's autovacuum, which its owner may not terminate."""
    give_up_at = time.monotonic() + AUTOVACUUM_SECONDS
    while True:
        try:
            owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        except InsufficientPrivilege:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.5)
        else:
            return


def _database_url() -> str:
    return urlsplit(os.environ["DATABASE_OWNER_URL"])._replace(path=f"/{DATABASE}").geturl()


def _broker_url() -> str:
    # The platform's user may not run the commands of other queues.
    url = os.environ.get("REDIS_ADMIN_URL") or platform_settings.REDIS_URL
    return urlsplit(url)._replace(path=f"/{BROKER_DATABASE}").geturl()
