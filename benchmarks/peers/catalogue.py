"""The peers: what each keeps of a job, how it is started, and where its waiting jobs are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
import redis

from benchmarks.peers.apps.flooded.trickle import TENANTS


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker's database and a PostgreSQL database of the peers' own."""

    broker: redis.Redis
    database: psycopg.Connection[tuple[int]]

    def count(self, statement: str) -> int:
        """The one number that a statement answers."""
        row = self.database.execute(statement.encode()).fetchone()
        return row[0] if row else 0

    def length(self, key: str) -> int:
        """How long a list of the broker's is."""
        return int(self.broker.llen(key))


@dataclass(frozen=True, slots=True)
class Command:
    """A process of a peer's. ``{bin}`` is the folder of the peers' programs, ``{redis}`` the broker's address."""

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setup:
    """How a peer is run in one of the two tables, in words and in commands; its code is ``apps/MODULE.py``, and for
    the second table ``apps/flooded/MODULE.py``.
    """

    settings: str
    workers: Sequence[Command]


@dataclass(frozen=True, slots=True)
class Peer:
    """``jobs`` are enough for a turn at its pace; ``left`` tells how many of them have not been done."""

    name: str
    package: str
    keeps: str
    module: str
    jobs: int
    left: Callable[[Servers], int]
    draining: Setup
    flooded: Setup
    prepare: Sequence[Command] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def _django(name: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": "django_settings", "PEER": name}


def _celery(module: str) -> Command:
    return Command(("{bin}/celery", "-A", module, "worker", "-c", "2", "--loglevel=WARNING"))


def _rq(*arguments: str) -> Command:
    program = ("{bin}/rq", "worker", "--worker-class=rq.worker.SimpleWorker", "--quiet", "--url={redis}")
    return Command((*program, *arguments))


def _procrastinate(concurrency: int) -> Command:
    return Command(("{bin}/procrastinate", "--app=procrastinate_app.app", "worker", f"--concurrency={concurrency}"))


_MIGRATE = (Command(("{bin}/django-admin", "migrate", "--verbosity=0")),)
_HUEY = Command(("{bin}/huey_consumer", "huey_app.huey", "-k", "process", "-w", "2", "-q"))
_QCLUSTER = ("{bin}/django-admin", "qcluster")
_DB_WORKER = Command(("{bin}/django-admin", "db_worker", "--verbosity=0"))
_PRIORITY = "the flood's jobs at a lower priority"
_IN_TURN = ("--dequeue-strategy=round_robin", *(f"tenant-{number}" for number in range(TENANTS)))

PEERS = (
    Peer(
        name="huey",
        package="huey",
        keeps="nothing",
        module="huey_app",
        jobs=100_000,
        left=lambda servers: servers.length("huey.redis.bench"),
        draining=Setup("one consumer with two worker processes, a job at a time in each; no results", [_HUEY]),
        flooded=Setup(f"{_PRIORITY} (`PriorityRedisHuey`); two worker processes, a job at a time in each", [_HUEY]),
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
            [_celery("celery_app")],
        ),
        flooded=Setup(
            f"{_PRIORITY} (`queue_order_strategy`), nothing prefetched, acknowledged late; two processes, a job at a "
            "time in each",
            [_celery("celery_app")],
        ),
    ),
    Peer(
        name="Celery + django-celery-results",
        package="django-celery-results",
        keeps="a result",
        module="celery_results",
        jobs=8_000,
        left=lambda servers: servers.length("celery"),
        draining=Setup(
            "as bare Celery, with its results in PostgreSQL on persistent connections", [_celery("celery_results")]
        ),
        flooded=Setup("as bare Celery, with its results in PostgreSQL", [_celery("celery_results")]),
        prepare=_MIGRATE,
        environment=_django("celery_results"),
    ),
    Peer(
        name="Procrastinate",
        package="procrastinate",
        keeps="the job and its events",
        module="procrastinate_app",
        jobs=12_000,
        left=lambda servers: servers.count("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"),
        draining=Setup("two worker processes, eight coroutines at once in each", [_procrastinate(8)] * 2),
        flooded=Setup(f"{_PRIORITY}; two worker processes, a job at a time in each", [_procrastinate(1)] * 2),
    ),
    Peer(
        name="Dramatiq",
        package="dramatiq",
        keeps="nothing",
        module="dramatiq_app",
        jobs=60_000,
        left=lambda servers: int(servers.broker.hlen("dramatiq:default.msgs")),
        draining=Setup(
            "two worker processes, eight threads in each (its default)",
            [Command(("{bin}/dramatiq", "dramatiq_app", "--processes", "2"))],
        ),
        flooded=Setup(
            "the flood's jobs in a queue of their own and at a lower priority among the messages that a worker has "
            "fetched; two worker processes, one thread in each",
            [Command(("{bin}/dramatiq", "dramatiq_app", "--processes", "2", "--threads", "1"))],
        ),
    ),
    Peer(
        name="RQ",
        package="rq",
        keeps="nothing",
        module="rq_app",
        jobs=15_000,
        left=lambda servers: servers.length("rq:queue:default"),
        draining=Setup(
            "two `SimpleWorker` processes, which fork for no job; results kept for no time", [_rq("default")] * 2
        ),
        flooded=Setup(
            "a queue a tenant, served in turn (`round_robin`); two `SimpleWorker` processes, a job at a time in each",
            [_rq(*_IN_TURN)] * 2,
        ),
    ),
    Peer(
        name="django-q2",
        package="django-q2",
        keeps="nothing (`save_limit` -1)",
        module="django_q2",
        jobs=20_000,
        left=lambda servers: servers.length("django_q:bench:q"),
        draining=Setup("one cluster of two worker processes, its broker on Redis", [Command(_QCLUSTER)]),
        flooded=Setup(
            "a slow queue: the flood's jobs go to a cluster of their own, so each cluster has one worker process",
            [
                Command(_QCLUSTER, {"PEER_WORKERS": "1"}),
                Command(_QCLUSTER, {"PEER_WORKERS": "1", "Q_CLUSTER_NAME": "bulk"}),
            ],
        ),
        prepare=_MIGRATE,
        environment=_django("django_q2"),
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
        prepare=_MIGRATE,
        environment=_django("django_tasks_db"),
    ),
)
