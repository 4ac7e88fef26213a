"""The embedded servers: they start, serve one command, and stop afterwards, however their launcher ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from jobsplatform.embedded.reaper import MARK_VARIABLE, marked_processes
from jobsplatform.embedded.server_user import ServerUser, choose_server_user
from jobsplatform.embedded.servers import FolderInUseError, running_servers
from jobsplatform.embedded.supervision import free_port
from jobsplatform.settings.env import BASE_DIR

DEADLINE_SECONDS = 60.0
SERVER_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "FILES_ROOT", MARK_VARIABLE)
# Print where the servers are, then stay until terminated.
TELL_AND_STAY = """
import json, os, pathlib, sys, time
pathlib.Path(sys.argv[1] + ".new").write_text(json.dumps(dict(os.environ)))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


def poll[T](question: Callable[[], T | None]) -> T:
    """Return the first answer that is true; fail when the deadline passes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    pytest.fail("The deadline passed.")


def without_servers(**variables: str) -> dict[str, str]:
    """Return this process's environment without the servers of this test suite."""
    return {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES} | variables


def launch(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the launcher."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobsplatform.embedded", "run", *arguments],
        cwd=BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def staying(tmp_path: Path, name: str = "written") -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Yield a launcher whose command stays, and that command's environment."""
    written = tmp_path / name
    launcher = launch(
        "--fast",
        "--",
        sys.executable,
        "-c",
        TELL_AND_STAY,
        str(written),
        environment=without_servers(TMPDIR=str(tmp_path)),
    )
    try:
        poll(written.exists)
        yield launcher, json.loads(written.read_text())
    finally:
        launcher.kill()
        launcher.communicate()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder that the servers' fallback user can enter, too; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def ended(launcher: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the launcher's status and what it wrote to standard error."""
    _, errors = launcher.communicate(timeout=DEADLINE_SECONDS)
    return launcher.returncode, errors


def is_running(pid: int) -> bool:
    """Return whether the process runs; a zombie has an entry and no environment."""
    try:
        return bool(Path(f"/proc/{pid}/environ").read_bytes())
    except OSError:
        return False


def is_gone(environment: dict[str, Any], folder: Path) -> bool:
    """Return whether neither a process with the mark nor a temporary folder is left."""
    return not list(marked_processes(environment[MARK_VARIABLE])) and not list(folder.glob("jobsplatform-*"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_servers_end_with_the_launcher(tmp_path: Path, end: signal.Signals) -> None:
    with staying(tmp_path) as (launcher, environment):
        assert len(list(marked_processes(environment[MARK_VARIABLE]))) >= 3  # PostgreSQL, Valkey, the command
        launcher.send_signal(end)
        poll(lambda: is_gone(environment, tmp_path))
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(environment["DATABASE_URL"], connect_timeout=2)


def test_detached_process_ends_with_the_launcher(tmp_path: Path) -> None:
    detached = tmp_path / "detached"
    daemon = f"setsid sh -c 'trap \"\" HUP; echo $$ > {detached}; exec sleep 600' &"
    command = f"{daemon} while [ ! -s {detached} ]; do sleep 0.05; done"
    launcher = launch("--fast", "--", "sh", "-c", command, environment=without_servers(TMPDIR=str(tmp_path)))
    assert ended(launcher) == (0, "")
    assert not is_running(int(detached.read_text()))


def test_two_launchers_have_separate_servers(tmp_path: Path) -> None:
    with staying(tmp_path, "first") as (_, first), staying(tmp_path, "second") as (_, second):
        assert first["DATABASE_URL"] != second["DATABASE_URL"]
        assert first["REDIS_URL"] != second["REDIS_URL"]
        with psycopg.connect(first["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("jobs_app",)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -TERM $$", 143), ("true", 0)])
def test_launcher_exits_with_the_commands_status(command: str, status: int) -> None:
    # On the servers of the test suite: none is started.
    launcher = launch("--", "sh", "-c", command)
    assert ended(launcher) == (status, "")


def test_missing_command_is_named() -> None:
    launcher = launch("--", "no-such-command")
    status, errors = ended(launcher)
    assert status == 127
    assert "no-such-command" in errors


def identities() -> list[ServerUser]:
    """Return the users that this machine allows the servers to run as."""
    chosen = choose_server_user()
    return (
        [chosen, ServerUser.UNPRIVILEGED] if os.geteuid() == 0 and chosen is not ServerUser.UNPRIVILEGED else [chosen]
    )


@pytest.mark.parametrize("identity", identities())
def test_servers_run_as_each_available_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: ServerUser
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running_servers(is_fast=True, identity=identity) as urls:
        with psycopg.connect(urls.database_url) as connection:
            found = connection.execute("SELECT extname FROM pg_extension WHERE extname = 'vector'").fetchone()
            assert found == ("vector",)
        with redis.Redis.from_url(urls.redis_admin_url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert list(tmp_path.glob("jobsplatform-*")) == []


def test_kept_data_outlive_the_servers_and_exclude_a_second_run(tmp_path: Path) -> None:
    folder, port = tmp_path / "kept", free_port()
    with running_servers(keep=folder, redis_url="redis://given", port=port) as urls:
        assert urlsplit(urls.database_url).port == port
        assert (folder / "passwords.json").stat().st_mode & 0o077 == 0
        with psycopg.connect(urls.owner_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with pytest.raises(FolderInUseError, match="Stop them first"), running_servers(keep=folder):
            pass
    with running_servers(keep=folder, redis_url="redis://given") as urls, psycopg.connect(urls.owner_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_port_of_another_process_is_an_error_with_the_cure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        launcher = launch(
            "--keep", str(tmp_path / "kept"), "--port", str(port), "--", "true", environment=without_servers()
        )
        _, said = launcher.communicate(timeout=DEADLINE_SECONDS)
    assert launcher.returncode == 2
    assert f"127.0.0.1:{port} cannot be used" in said
    assert "make dev BIND=" in said


def test_given_servers_are_used_and_none_is_started() -> None:
    with running_servers(database_url="postgresql://given", redis_url="redis://given") as urls:
        assert (urls.database_url, urls.redis_url, urls.mark) == ("postgresql://given", "redis://given", "")


def test_files_of_a_killed_command_are_removed(tmp_path: Path) -> None:
    with staying(tmp_path) as (_launcher, environment):
        assert Path(environment["TMPDIR"]).is_relative_to(tmp_path)
        assert Path(environment["FILES_ROOT"]).is_relative_to(environment["TMPDIR"])
        (Path(environment["TMPDIR"]) / "left").touch()
        os.kill(environment_pid(environment), signal.SIGKILL)
        poll(lambda: is_gone(environment, tmp_path))


def environment_pid(environment: dict[str, Any]) -> int:
    """Return the id of the command that wrote its environment."""
    for pid in marked_processes(environment[MARK_VARIABLE]):
        if TELL_AND_STAY in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    pytest.fail("The command does not run.")
