"""A dispatcher and a worker on a database and a broker database of their own, shared by the tests of a process."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from django.conf import settings
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from scheduling import broker
from scheduling.models import LiveExecution, Worker
from tenants.conf import APP_ALIAS
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.services.tenants import create_tenant
from tests.acceptance.processes import ManagedProcess, eventually
from tests.databases import TestDatabase, connect_as_owner

SLOTS = 3
# Two cores that other tests keep busy take their time to import everything.
START_SECONDS = 150.0
_numbers = itertools.count(1)


class Platform:
    """The processes, and where they find their servers."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._started: list[ManagedProcess] = []
        self.dispatcher: ManagedProcess | None = None
        self.worker: ManagedProcess | None = None

    def start(self, *arguments: str, **environment: str) -> ManagedProcess:
        """Start a `manage.py` command; it is stopped after the test at the latest."""
        log = self._folder / f"{next(_numbers)}-{arguments[0]}.log"
        process = ManagedProcess([*arguments], self._environment | environment, log)
        self._started.append(process)
        return process

    def start_beat(self, **environment: str) -> ManagedProcess:
        """Start a beat; several may run."""
        log = self._folder / f"{next(_numbers)}-beat.log"
        program = ("-m", "celery", "--app", "jobsplatform.celery")
        process = ManagedProcess(["beat", "--pidfile="], self._environment | environment, log, program=program)
        self._started.append(process)
        return process

    def start_streams(self, port: int, **environment: str) -> ManagedProcess:
        """Start the ASGI server, where clients wait."""
        log = self._folder / f"{next(_numbers)}-streams.log"
        arguments = [f"--port={port}", "--no-access-log", "jobsplatform.asgi:application"]
        process = ManagedProcess(arguments, self._environment | environment, log, program=("-m", "uvicorn"))
        self._started.append(process)
        return process

    def start_web(self, port: int, **environment: str) -> ManagedProcess:
        """Start the web server as production does."""
        log = self._folder / f"{next(_numbers)}-web.log"
        arguments = ["--no-control-socket", f"--bind=127.0.0.1:{port}", "--threads=2", "jobsplatform.wsgi"]
        process = ManagedProcess(arguments, self._environment | environment, log, program=("-m", "gunicorn"))
        self._started.append(process)
        return process

    def start_dispatcher(self) -> ManagedProcess:
        return self.start("dispatch_jobs")

    def start_worker(self, *, concurrency: int = SLOTS, pool: str = "default") -> ManagedProcess:
        """Start a worker of a pool, and return once it takes jobs."""
        worker = self.start("run_worker", f"--pool={pool}", f"--concurrency={concurrency}")
        eventually(
            lambda: " ready." in worker.log or not worker.is_running, within=START_SECONDS, what="the worker is ready"
        )
        assert worker.is_running, worker.log
        return worker

    def make_whole(self) -> None:
        """Start what the test before has killed."""
        if self.dispatcher is None or not self.dispatcher.is_running:
            self.dispatcher = self.start_dispatcher()
        if self.worker is None or not self.worker.is_running:
            self.worker = self.start_worker()

    def stop_extras(self) -> None:
        """Stop all but the shared dispatcher and worker."""
        for process in self._started:
            if process not in {self.dispatcher, self.worker} and process.is_running:
                process.kill()

    def stop(self) -> None:
        for process in self._started:
            process.kill()

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-8_000:]}" for path in sorted(self._folder.iterdir())
        )


@pytest.fixture(scope="session")
def acceptance_database(
    django_db_setup: TestDatabase, django_db_blocker: DjangoDbBlocker, worker_id: str
) -> Iterator[TestDatabase]:
    """A database apart from the other tests', whose rolled-back rows no process may meet."""
    database = TestDatabase(f"{worker_id}_acceptance")
    with django_db_blocker.unblock():
        database.create()
        django_db_setup.use()
        yield database
        eventually(lambda: not _sessions_on(database.name), what="the processes' sessions are gone")
        database.destroy()
        django_db_setup.use()


@pytest.fixture(scope="session")
def acceptance_broker_url(worker_id: str) -> str:
    """A database of the broker apart from the other tests' and from other test processes'."""
    number = 2 + int(worker_id.removeprefix("gw") or 0) if worker_id.startswith("gw") else 2
    return urlunsplit(urlsplit(settings.REDIS_URL)._replace(path=f"/{number}"))


@pytest.fixture(scope="session")
def shared_platform(
    acceptance_database: TestDatabase, acceptance_broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The processes of this test process, empty-handed until a test makes them whole."""
    with redis.Redis.from_url(acceptance_broker_url) as client:
        client.flushdb()
    environment = os.environ | acceptance_database.urls()
    environment |= {
        "DJANGO_SETTINGS_MODULE": "jobsplatform.settings.test",
        "REDIS_URL": acceptance_broker_url,
        "CACHE_URL": acceptance_broker_url,
        "SECRET_KEY": settings.SECRET_KEY,
        "LOG_LEVEL": "INFO",
    }
    platform = Platform(environment, tmp_path_factory.mktemp("platform"))
    yield platform
    platform.stop()


@pytest.fixture
def db(
    acceptance_database: TestDatabase,
    django_db_setup: TestDatabase,
    django_db_blocker: DjangoDbBlocker,
    acceptance_broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Real commits in the acceptance database: what a test writes is what the processes see."""
    monkeypatch.setattr(settings, "REDIS_URL", acceptance_broker_url)
    broker._client.cache_clear()
    with django_db_blocker.unblock():
        acceptance_database.use()
        yield
        connections[APP_ALIAS].close()
        django_db_setup.use()
    broker._client.cache_clear()


@pytest.fixture
def platform(db: None, shared_platform: Platform, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A dispatcher and a worker with three slots, both well and idle."""
    shared_platform.make_whole()
    eventually(_is_idle, what="the platform is idle")
    failed_before = request.session.testsfailed
    yield shared_platform
    shared_platform.stop_extras()
    if request.session.testsfailed > failed_before:
        sys.stdout.write(shared_platform.logs())


@pytest.fixture
def acme(db: None) -> Tenant:
    """A tenant on the plan team; of its own for each test, since nothing is rolled back."""
    return create_tenant(slug=f"acme-{next(_numbers)}", plan="team")


@pytest.fixture
def globex(db: None) -> Tenant:
    """Another tenant, on the plan sandbox."""
    return create_tenant(slug=f"globex-{next(_numbers)}", plan="sandbox")


@pytest.fixture
def initech(db: None) -> Tenant:
    """A third tenant, on the plan professional."""
    return create_tenant(slug=f"initech-{next(_numbers)}", plan="professional")


def _is_idle() -> bool:
    with all_tenants():
        return not LiveExecution.objects.exists() and Worker.objects.filter(status="online").exists()


def _sessions_on(database: str) -> int:
    """How many sessions of the application's are left; the owner may not end them."""
    connections[APP_ALIAS].close()
    with connect_as_owner(database) as owner:
        row = owner.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename <> current_user", [database]
        ).fetchone()
    assert row is not None
    return int(row[0])
