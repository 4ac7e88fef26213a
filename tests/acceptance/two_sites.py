"""Two sites on this machine: a PostgreSQL server with a streaming standby, each with a broker and processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connections

from jobsplatform.embedded.binaries import postgres_program
from jobsplatform.embedded.postgres import admin_url, start_postgres
from jobsplatform.embedded.server_user import before_exec, change_owner, choose_server_user, copy_for_user
from jobsplatform.embedded.servers import APP_ROLE, AUDITOR_ROLE, DATABASE, OWNER_ROLE, PLATFORM_ROLE
from jobsplatform.embedded.supervision import HOST, Server, bare_environment
from scheduling.dispatch import broker
from tenants.database.bootstrap import LoginRole, bootstrap_database
from tenants.database.conf import APP_ALIAS
from tests.acceptance.own_broker import OwnBroker
from tests.acceptance.processes import ROOT
from tests.acceptance.serving import Platform
from tests.platform_settings import override_platform_settings

PASSWORD = "of-both-sites"


class DatabaseServer:
    """A PostgreSQL server of a site, which can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755, parents=True)
        self._folder = folder
        self._identity = choose_server_user()
        change_owner(self._identity, folder)
        self._program = copy_for_user(self._identity, postgres_program(), folder / "programs")
        self._server: Server | None = None
        self._port: int | None = None

    @property
    def admin_url(self) -> str:
        assert self._port is not None
        return admin_url(self._port, PASSWORD)

    def url(self, role: str) -> str:
        """Return the URL of a login."""
        return f"postgresql://{role}:{PASSWORD}@{HOST}:{self._port}/{DATABASE}"

    def start(self) -> None:
        """Start the server, or start it again."""
        self._server = start_postgres(
            self._program,
            self._folder,
            password=PASSWORD,
            identity=self._identity,
            environment=bare_environment("TWO_SITES", "1"),
            is_fast=False,
            port=self._port,
        )
        self._port = self._server.port

    def create(self) -> None:
        """Start the server, and create the roles and the tables."""
        self.start()
        bootstrap_database(
            self.admin_url,
            database=DATABASE,
            owner=LoginRole(OWNER_ROLE, PASSWORD),
            app=LoginRole(APP_ROLE, PASSWORD),
            auditor=LoginRole(AUDITOR_ROLE, PASSWORD),
            platform=PLATFORM_ROLE,
        )
        environment = os.environ | {"DATABASE_URL": self.url(APP_ROLE), "DATABASE_OWNER_URL": self.url(OWNER_ROLE)}
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0", "--skip-checks"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)

    def follow(self, primary: DatabaseServer) -> None:
        """Copy another server, and start as its standby."""
        data = self._folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        command = [
            str(self._program.sibling("pg_basebackup")),
            f"--dbname={primary.admin_url}",
            f"--pgdata={data}",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
        ]
        subprocess.run(
            command,
            cwd=self._folder,
            env=bare_environment("TWO_SITES", "1"),
            check=True,
            preexec_fn=before_exec(self._identity, signal.SIGKILL),
        )
        self.start()

    def kill(self) -> None:
        """Kill all its processes at once, as a lost machine."""
        assert self._server is not None
        if self._server.process.poll() is None:
            os.killpg(self._server.process.pid, signal.SIGKILL)
        self._server.process.wait()

    def read(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows of a statement, as the administrator."""
        with psycopg.connect(self.url("postgres")) as connection:
            return connection.execute(statement, values).fetchall()


class SiteUnderTest:
    """A site: its database, its broker, and its processes."""

    def __init__(self, name: str, folder: Path, witness: str) -> None:
        self.name = name
        self.database = DatabaseServer(folder / f"{name}-postgres")
        (folder / f"{name}-broker").mkdir()
        self.broker = OwnBroker(folder / f"{name}-broker")
        self._folder, self._witness = folder, witness

    def platform(self, role: str) -> Platform:
        """Return the site's processes, none of which runs; its database must have been started."""
        folder = self._folder / f"{self.name}-{role}"
        folder.mkdir(exist_ok=True)
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "DATABASE_URL": self.database.url(APP_ROLE),
            "DATABASE_OWNER_URL": self.database.url(OWNER_ROLE),
            "DATABASE_AUDITOR_URL": self.database.url(AUDITOR_ROLE),
            "REDIS_URL": self.broker.url,
            "CACHE_URL": self.broker.url,
            "SECRET_KEY": settings.SECRET_KEY,
            "SITE_ROLE": role,
            "SITE_NAME": self.name,
            "SITE_WITNESS": self._witness,
            "HEARTBEAT_DIRECTORY": str(folder),
            "LOG_LEVEL": "INFO",
        }
        return Platform(environment, folder)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this process use the site's database and broker."""
        kept, other = connections[APP_ALIAS], connections.create_connection(APP_ALIAS)
        place = {"HOST": HOST, "PORT": self.database.url("").rpartition(":")[2].partition("/")[0]}
        login = {"USER": APP_ROLE, "PASSWORD": PASSWORD, "NAME": DATABASE}
        other.settings_dict = {**kept.settings_dict, **place, **login}
        broker.client.cache_clear()
        connections[APP_ALIAS] = other
        try:
            with override_platform_settings(REDIS_URL=self.broker.url):
                yield
        finally:
            other.close()
            connections[APP_ALIAS] = kept
            broker.client.cache_clear()

    def stop(self) -> None:
        """Kill what still runs."""
        self.database.kill()
        self.broker.kill()
