"""PostgreSQL for development: its data folder is initialised once; it listens on a port of the loopback interface."""

import signal
import subprocess
from pathlib import Path

import psycopg

from jobsplatform.embedded.binaries import Program
from jobsplatform.embedded.server_user import ServerUser, before_exec, change_owner
from jobsplatform.embedded.supervision import HOST, Launch, Server, ServerStartError, start
from tenants.database.options import connection_options

ADMINISTRATOR = "postgres"
# Connections of two test workers, each with a platform of web, dispatcher and workers, and a margin.
_MAX_CONNECTIONS = 200
# Only if the data are discarded after the run: a crash of the machine would lose them.
_WITHOUT_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def admin_url(port: int, password: str) -> str:
    """Return the URL with which the administrator connects to the server on this port."""
    return f"postgresql://{ADMINISTRATOR}:{password}@{HOST}:{port}/postgres"


def start_postgres(
    program: Program,
    folder: Path,
    *,
    password: str,
    identity: ServerUser,
    environment: dict[str, str],
    is_fast: bool,
    port: int | None = None,
) -> Server:
    """Start PostgreSQL with the data under `folder`, on `port` or a free port.

    Initialise the data if there are none.
    """
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(program, data, password=password, identity=identity, environment=environment)
    launch = Launch(
        name="PostgreSQL",
        arguments=lambda port: [str(program.executable), "-D", str(data), *_options(port, is_fast=is_fast)],
        answers=lambda port: _answers(admin_url(port, password)),
        stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, data are written
        log=folder / "postgres.log",
        folder=folder,
        identity=identity,
        environment=environment,
        port=port,
    )
    return start(launch)


def _initialise(
    program: Program, data: Path, *, password: str, identity: ServerUser, environment: dict[str, str]
) -> None:
    """Create an empty database cluster that allows log-in with passwords only."""
    data.mkdir(mode=0o700, exist_ok=True)
    password_file = data.parent / "initial-password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    change_owner(identity, data)
    change_owner(identity, password_file)
    command = [
        str(program.sibling("initdb")),
        f"--pgdata={data}",
        f"--username={ADMINISTRATOR}",
        f"--pwfile={password_file}",
        "--auth-host=scram-sha-256",
        "--auth-local=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--no-instructions",
        "--no-sync",
    ]
    made = subprocess.run(  # noqa: S603 - our own program
        command,
        cwd=data.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=before_exec(identity, signal.SIGKILL),
    )
    password_file.unlink()
    if made.returncode != 0:
        raise ServerStartError(f"initdb failed:\n{made.stdout}")


def _options(port: int, *, is_fast: bool) -> list[str]:
    """Return the server's settings as command-line options."""
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(_MAX_CONNECTIONS),
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        "jit": "off",
        # The working set of a busy hour stays cached; in the server's own 128 MB it would not.
        "shared_buffers": "512MB",
        # Wake-up rows are inserted and deleted many times a second: vacuum them before dead rows slow each read.
        "autovacuum_naptime": "5s",
        # Truncation locks a table against readers, and transactions with a short lock timeout fail on it.
        "vacuum_truncate": "off",
        **(_WITHOUT_DURABILITY if is_fast else {}),
    }
    return [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]


def _answers(url: str) -> bool:
    """Return whether the server accepts our password: another server on this port would not."""
    try:
        psycopg.connect(url, **connection_options()).close()
    except psycopg.OperationalError:
        return False
    return True
