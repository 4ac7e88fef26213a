"""The peers: what each keeps of a job, how it is started, and where its waiting jobs are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
import redis


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
class Peer:
    """``{bin}`` in a command is the folder of the peers' programs. ``jobs`` are enough for a turn at its pace."""

    name: str
    package: str
    keeps: str
    settings: str
    module: str
    jobs: int
    workers: Sequence[Sequence[str]]
    left: Callable[[Servers], int]
    prepare: Sequence[Sequence[str]] = ()
    environment: dict[str, str] = field(default_factory=dict)


def _django(name: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": "django_settings", "PEER": name}


_MIGRATE = (("{bin}/django-admin", "migrate", "--verbosity=0"),)
_RQ = ("{bin}/rq", "worker", "--worker-class=rq.worker.SimpleWorker", "--quiet", "--url={redis}", "default")

PEERS = (
    Peer(
        name="huey",
        package="huey",
        keeps="nothing",
        settings="two worker processes, no results",
        module="huey_app",
        jobs=80_000,
        workers=[("{bin}/huey_consumer", "huey_app.huey", "-k", "process", "-w", "2", "-q")],
        left=lambda servers: servers.length("huey.redis.bench"),
    ),
    Peer(
        name="Celery, bare",
        package="celery",
        keeps="nothing",
        settings="prefork with two processes, results ignored",
        module="celery_app",
        jobs=30_000,
        workers=[("{bin}/celery", "-A", "celery_app", "worker", "-c", "2", "--loglevel=WARNING")],
        left=lambda servers: servers.length("celery"),
    ),
    Peer(
        name="Celery + django-celery-results",
        package="django-celery-results",
        keeps="a result",
        settings="prefork with two processes, results in PostgreSQL",
        module="celery_results",
        jobs=10_000,
        workers=[("{bin}/celery", "-A", "celery_results", "worker", "-c", "2", "--loglevel=WARNING")],
        left=lambda servers: servers.length("celery"),
        prepare=_MIGRATE,
        environment=_django("celery_results"),
    ),
    Peer(
        name="Procrastinate",
        package="procrastinate",
        keeps="the job and its events",
        settings="two worker processes, eight jobs at once in each",
        module="procrastinate_app",
        jobs=15_000,
        workers=[("{bin}/procrastinate", "--app=procrastinate_app.app", "worker", "--concurrency=8")] * 2,
        left=lambda servers: servers.count("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"),
    ),
    Peer(
        name="Dramatiq",
        package="dramatiq",
        keeps="nothing",
        settings="two worker processes, eight threads in each (its default)",
        module="dramatiq_app",
        jobs=30_000,
        workers=[("{bin}/dramatiq", "dramatiq_app", "--processes", "2")],
        left=lambda servers: int(servers.broker.hlen("dramatiq:default.msgs")),
    ),
    Peer(
        name="RQ",
        package="rq",
        keeps="nothing",
        settings="two SimpleWorkers, which fork for no job; results kept for no time",
        module="rq_app",
        jobs=15_000,
        workers=[_RQ, _RQ],
        left=lambda servers: servers.length("rq:queue:default"),
    ),
    Peer(
        name="django-q2",
        package="django-q2",
        keeps="nothing (`save_limit` -1)",
        settings="a cluster of two workers, its broker on Redis",
        module="django_q2",
        jobs=15_000,
        workers=[("{bin}/django-admin", "qcluster")],
        left=lambda servers: servers.length("django_q:bench:q"),
        prepare=_MIGRATE,
        environment=_django("django_q2"),
    ),
    Peer(
        name="django-tasks-db",
        package="django-tasks-db",
        keeps="the job and its result",
        settings="two `db_worker` processes",
        module="tasks",
        jobs=10_000,
        workers=[("{bin}/django-admin", "db_worker", "--verbosity=0")] * 2,
        left=lambda servers: servers.count(
            "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"
        ),
        prepare=_MIGRATE,
        environment=_django("django_tasks_db"),
    ),
)
