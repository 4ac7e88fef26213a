"""The peers: what each stores of a job, how it is started, and where its waiting jobs are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
import redis


@dataclass(frozen=True, slots=True)
class Servers:
    """A Redis database and a PostgreSQL database for the peers alone."""

    broker: redis.Redis
    database: psycopg.Connection[tuple[int]]

    def count(self, statement: str) -> int:
        """Return the one number of a statement."""
        row = self.database.execute(statement.encode()).fetchone()
        return row[0] if row else 0

    def length(self, key: str) -> int:
        """Return the length of a list in Redis."""
        return int(self.broker.llen(key))


@dataclass(frozen=True, slots=True)
class Setup:
    """How a peer runs in one part: in words, and as the commands of its workers.

    In a command ``{bin}`` is the folder of the peers' programs.
    """

    settings: str
    workers: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another job queue; its code is ``apps/MODULE.py``.

    ``jobs`` last for a turn at its rate, ``left`` counts those that are not done. ``django`` is the value of PEER for
    Django applications.
    """

    name: str
    package: str
    keeps: str
    module: str
    jobs: int
    left: Callable[[Servers], int]
    draining: Setup
    flooded: Setup
    django: str = ""


_CELERY = ("{bin}/celery", "-A", "celery_app", "worker", "-c", "2", "--loglevel=WARNING")
_HUEY = ("{bin}/huey_consumer", "huey_app.huey", "-k", "process", "-w", "2", "-q")
_DB_WORKER = ("{bin}/django-admin", "db_worker", "--verbosity=0")
_DRAMATIQ = ("{bin}/dramatiq", "dramatiq_app", "--processes", "2")
_PRIORITY = "the flood's jobs at a lower priority"
_TWO = "two worker processes, a job at a time in each"


def _procrastinate(concurrency: int) -> Sequence[str]:
    return ("{bin}/procrastinate", "--app=procrastinate_app.app", "worker", f"--concurrency={concurrency}")


PEERS = (
    Peer(
        name="huey",
        package="huey",
        keeps="nothing",
        module="huey_app",
        jobs=100_000,
        left=lambda servers: servers.length("huey.redis.bench"),
        draining=Setup(f"one consumer with {_TWO}; no results", [_HUEY]),
        flooded=Setup(f"{_PRIORITY} (`PriorityRedisHuey`); {_TWO}", [_HUEY]),
    ),
    Peer(
        name="Celery, bare",
        package="celery",
        keeps="nothing",
        module="celery_app",
        jobs=24_000,
        left=lambda servers: servers.length("celery"),
        draining=Setup(
            "one prefork worker with two processes, a job at a time in each, prefetching 4 messages of one job for "
            "each (its default); results ignored",
            [_CELERY],
        ),
        flooded=Setup(
            f"{_PRIORITY} (`queue_order_strategy`), nothing prefetched, acknowledged late; two processes, a job at a "
            "time in each",
            [_CELERY],
        ),
    ),
    Peer(
        name="Celery + django-celery-results",
        package="django-celery-results",
        keeps="a result",
        module="celery_app",
        jobs=8_000,
        left=lambda servers: servers.length("celery"),
        draining=Setup("as bare Celery, with its results in PostgreSQL on persistent connections", [_CELERY]),
        flooded=Setup("as bare Celery, with its results in PostgreSQL", [_CELERY]),
        django="celery_results",
    ),
    Peer(
        name="Procrastinate",
        package="procrastinate",
        keeps="the job and its events",
        module="procrastinate_app",
        jobs=12_000,
        left=lambda servers: servers.count("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"),
        draining=Setup("two worker processes, eight coroutines at once in each", [_procrastinate(8)] * 2),
        flooded=Setup(f"{_PRIORITY}; {_TWO}", [_procrastinate(1)] * 2),
    ),
    Peer(
        name="Dramatiq",
        package="dramatiq",
        keeps="nothing",
        module="dramatiq_app",
        jobs=60_000,
        left=lambda servers: int(servers.broker.hlen("dramatiq:default.msgs")),
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
        name="django-tasks-db",
        package="django-tasks-db",
        keeps="the job and its result",
        module="tasks",
        jobs=8_000,
        left=lambda servers: servers.count(
            "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"
        ),
        draining=Setup("two `db_worker` processes, a job at a time in each", [_DB_WORKER] * 2),
        flooded=Setup(f"{_PRIORITY}; two `db_worker` processes, a job at a time in each", [_DB_WORKER] * 2),
        django="django_tasks_db",
    ),
)
