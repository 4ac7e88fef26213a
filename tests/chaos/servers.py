"""PostgreSQL and Valkey that can be killed and restarted in place, from one blueprint for all stacks."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg

from jobsplatform.embedded import reaper
from jobsplatform.embedded.binaries import postgres_program, valkey_program
from jobsplatform.embedded.postgres import admin_url, start_postgres
from jobsplatform.embedded.server_user import ServerUser, change_owner, choose_server_user, copy_for_user
from jobsplatform.embedded.servers import (
    APP_ROLE,
    AUDITOR_ROLE,
    BACKUP_ROLE,
    DATABASE,
    OWNER_ROLE,
    PLATFORM_ROLE,
    Passwords,
)
from jobsplatform.embedded.supervision import HOST, Server, bare_environment
from jobsplatform.embedded.valkey import UNION, broker_url, start_valkey
from tenants.database.bootstrap import LoginRole, bootstrap_database
from tests.chaos.plugin.processor import TABLE

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "tests.chaos.settings"
LOGS = "logs"
# Below the range of client ports: no other process takes one while its server is away.
PORTS = range(15_000, 32_000)
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of the servers of one stack, running or not."""

    folder: Path
    passwords: Passwords
    postgres_port: int
    broker_port: int

    @classmethod
    def choose(cls, folder: Path) -> Addresses:
        """Choose free ports for the servers with data in a folder."""
        return cls(folder, Passwords.of(folder), free_port(), free_port())

    @property
    def admin_url(self) -> str:
        """Return the superuser's URL of the platform's database."""
        return admin_url(self.postgres_port, self.passwords.administrator).removesuffix("/postgres") + f"/{DATABASE}"

    @property
    def auditor_url(self) -> str:
        return f"postgresql://{AUDITOR_ROLE}:{self.passwords.auditor}@{HOST}:{self.postgres_port}/{DATABASE}"

    @property
    def backup_url(self) -> str:
        return f"postgresql://{BACKUP_ROLE}:{self.passwords.backup}@{HOST}:{self.postgres_port}/{DATABASE}"

    def database_url(self, *, port: int | None = None, is_owner: bool = False) -> str:
        role, password = (OWNER_ROLE, self.passwords.owner) if is_owner else (APP_ROLE, self.passwords.app)
        return f"postgresql://{role}:{password}@{HOST}:{port or self.postgres_port}/{DATABASE}"

    def broker_url(self, *, port: int | None = None, number: int = 0, user: str = UNION) -> str:
        return broker_url(port or self.broker_port, self.passwords.broker, user).removesuffix("0") + str(number)

    def environment(self) -> dict[str, str]:
        """Return the environment of the platform's processes."""
        return {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "DATABASE_URL": self.database_url(),
            "DATABASE_PLATFORM_ROLE": PLATFORM_ROLE,
            "DATABASE_AUDITOR_URL": self.auditor_url,
            "REDIS_URL": self.broker_url(),
            "CACHE_URL": self.broker_url(number=1),
            "SECRET_KEY": self.passwords.secret_key,
            "FILES_ROOT": str(self.folder / "files"),
            "LOG_LEVEL": "INFO",
            "HEARTBEAT_DIRECTORY": str(self.folder / "heartbeats"),
        }


class Servers:
    """Both servers of a stack. Start them from the main thread: they die with the thread that started them."""

    def __init__(self, addresses: Addresses, *, is_fast: bool = False) -> None:
        self._is_fast = is_fast
        self._addresses = addresses
        self._identity = choose_server_user()
        self._environment = bare_environment(reaper.MARK_VARIABLE, os.environ.get(reaper.MARK_VARIABLE, ""))
        self._postgres: Server | None = None
        self._broker: Server | None = None

    def start_postgres(self) -> None:
        """Start it on the existing data; durable, unless these are a blueprint's."""
        self._postgres = start_postgres(
            copy_for_user(self._identity, postgres_program(), self._addresses.folder / "programs"),
            self._folder("postgres"),
            password=self._addresses.passwords.administrator,
            identity=self._identity,
            environment=self._environment,
            is_fast=self._is_fast,
            port=self._addresses.postgres_port,
        )

    def fake_clock(self, library: Path) -> None:
        """Make PostgreSQL read its wall clock from `set_clock` at its next start; its monotonic clock is unchanged."""
        self._environment |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set_clock(timedelta())

    def set_clock(self, ahead: timedelta) -> None:
        """Set the clock of PostgreSQL ahead of this machine's, or behind it."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{ahead.total_seconds():+.0f}\n")
        new.chmod(0o644)
        new.replace(self._clock)

    @property
    def _clock(self) -> Path:
        return self._addresses.folder / "clock"

    def stop_postgres(self, how: signal.Signals) -> None:
        """Stop PostgreSQL. SIGINT: fast. SIGQUIT: at once, as in a crash. SIGKILL: its children exit a moment later."""
        assert self._postgres is not None
        self._postgres.process.send_signal(how)
        self._postgres.process.wait(STOP_SECONDS)

    def start_broker(self) -> None:
        """Start it with an empty database."""
        self._broker = start_valkey(
            copy_for_user(self._identity, valkey_program(), self._addresses.folder / "programs"),
            self._folder("valkey"),
            password=self._addresses.passwords.broker,
            identity=self._identity,
            environment=self._environment,
            port=self._addresses.broker_port,
        )

    def kill_broker(self) -> None:
        """Kill it, as the kernel does when memory runs out."""
        assert self._broker is not None
        self._broker.process.kill()
        self._broker.process.wait(STOP_SECONDS)

    @property
    def broker_pid(self) -> int:
        assert self._broker is not None
        return self._broker.process.pid

    @property
    def is_broker_running(self) -> bool:
        return self._broker is not None and self._broker.process.poll() is None

    @property
    def is_postgres_running(self) -> bool:
        return self._postgres is not None and self._postgres.process.poll() is None

    def stop(self) -> None:
        for server in (self._broker, self._postgres):
            if server is not None:
                server.stop()

    def _folder(self, name: str) -> Path:
        folder = self._addresses.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._identity is ServerUser.UNPRIVILEGED:
            self._addresses.folder.chmod(0o711)
            for path in (folder, *folder.rglob("*")):
                change_owner(self._identity, path)
        return folder


def free_port() -> int:
    """Return a port that is unused and outside the range of client ports."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No free port of 200 tried between {PORTS.start} and {PORTS.stop}.")


def make_blueprint(folder: Path) -> None:
    """Create a migrated cluster with the effects table in a folder, which is copied for each stack."""
    folder.mkdir(parents=True)
    addresses = Addresses.choose(folder)
    servers = Servers(addresses, is_fast=True)
    servers.start_postgres()
    try:
        bootstrap_database(
            admin_url(addresses.postgres_port, addresses.passwords.administrator),
            database=DATABASE,
            owner=LoginRole(OWNER_ROLE, addresses.passwords.owner),
            app=LoginRole(APP_ROLE, addresses.passwords.app),
            auditor=LoginRole(AUDITOR_ROLE, addresses.passwords.auditor),
            platform=PLATFORM_ROLE,
            backup=LoginRole(BACKUP_ROLE, addresses.passwords.backup),
        )
        environment = {**os.environ, **addresses.environment()}
        environment["DATABASE_OWNER_URL"] = addresses.database_url(is_owner=True)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=environment, check=True)
        with psycopg.connect(addresses.admin_url) as connection:
            connection.execute(TABLE.format(app=APP_ROLE, platform=PLATFORM_ROLE))
    finally:
        servers.stop()


def copy_blueprint(blueprint: Path, folder: Path) -> None:
    """Copy the blueprint's data for a stack."""
    folder.mkdir(parents=True)
    shutil.copytree(blueprint / "postgres", folder / "postgres", symlinks=True)
    shutil.copy2(blueprint / "passwords.json", folder / "passwords.json")
