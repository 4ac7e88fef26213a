"""PgBouncer in transaction mode in front of the test database, as in production."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg

from tests.acceptance.processes import eventually

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
UNPRIVILEGED_UID = 65534
_CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
admin_users = {user}
"""


@dataclass(slots=True)
class Pooler:
    """PgBouncer with its address and statistics; it can be killed and restarted at the same port."""

    url: str
    folder: Path
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-q", str(self.folder / "pgbouncer.ini")],
                stderr=log,
                **({"user": UNPRIVILEGED_UID, "extra_groups": []} if os.getuid() == 0 else {}),
            )
        eventually(lambda: _answers(self.url), within=15, what="PgBouncer answers")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def server_connections(self) -> int:
        """Return the number of its open connections to PostgreSQL."""
        admin = urlunsplit(urlsplit(self.url)._replace(path="/pgbouncer"))
        # Its console supports the simple protocol only.
        with psycopg.connect(admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as console:
            return len(console.execute("SHOW SERVERS").fetchall())


@contextmanager
def running_pooler(database_url: str, *, pool_size: int) -> Iterator[Pooler]:
    """Run PgBouncer in front of the server of ``database_url``, with a limited number of connections to it."""
    parts = urlsplit(database_url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen_port = probe.getsockname()[1]
    # It refuses to run as root, and pytest's folder is accessible to its owner only.
    with TemporaryDirectory(prefix="pgbouncer-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{user}" "{password}"\n')
        (folder / "pgbouncer.ini").write_text(
            _CONFIGURATION.format(
                host=parts.hostname,
                port=parts.port,
                listen_port=listen_port,
                folder=folder,
                pool_size=pool_size,
                user=user,
            )
        )
        netloc = f"{parts.username}:{parts.password}@127.0.0.1:{listen_port}"
        pooler = Pooler(urlunsplit(parts._replace(netloc=netloc)), folder)
        try:
            pooler.start()
            yield pooler
        finally:
            pooler.stop()


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False
