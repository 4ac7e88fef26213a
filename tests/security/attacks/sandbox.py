"""Attacks from inside the extraction child, and on deployments."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jobsplatform.images import check_image
from jobsplatform.settings.env import BASE_DIR
from scheduling.observability.exporter import answer_scrape
from tests.platform_settings import override_platform_settings
from tests.security.table import Attack
from tests.security.world import World
from workloads.documents.extraction import extractor
from workloads.documents.extraction.errors import SandboxUnavailableError

REFUSED = "PermissionError"
NO_TOKEN = "401 Unauthorized, Unauthorized"
# A worker's own steps under a plain account, then those of another process of the account: root may read closed
# processes. A change of the account closes a process, so it is opened first.
_HIDDEN_WORKER = """
import os, sys
from scheduling.sandbox.kernel import set_dumpable
from scheduling.worker.memory import hide_child, hide_worker
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
set_dumpable(is_dumpable=True)
hide_worker()
hide_child()
worker = os.getpid()
if os.fork() == 0:
    try:
        print("read", open(f"/proc/{worker}/{sys.argv[1]}", "rb").name)
    except OSError as error:
        print(type(error).__name__)
else:
    os.wait()
"""


def parse_hostile(attack: str, on: Any = None) -> str:
    """Return the result of a compromised parser: a value, or the error that stopped it."""
    with tempfile.TemporaryFile() as file, patch.object(extractor, "CHILD_MODULE", "tests.security.hostile_parser"):
        file.write(json.dumps({"attack": attack, "on": on}).encode())
        file.flush()
        return extractor.extract_file(file, "text/plain").blocks[0].text


def hostile(attack: str, on: Any = None) -> Callable[[World], str]:
    """Return the code of a row that needs only the child."""
    return lambda world: parse_hostile(attack, on)


def _connect(world: World) -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return parse_hostile("connect", server.getsockname()[:2])


@contextmanager
def _tenant_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "document-of-zeta"
        file.write_text("zeta's")
        yield file


def _on_tenant_file(attack: str) -> Callable[[World], str]:
    def run(world: World) -> str:
        with _tenant_file() as file:
            got = parse_hostile(attack, str(file))
            return got if file.is_file() and file.read_text() == "zeta's" else f"{got}, the file changed"

    return run


def _create(world: World) -> str:
    with _tenant_file() as file:
        got = parse_hostile("create", str(file.with_name("new")))
        return got if not file.with_name("new").exists() else f"{got}, a file is there"


def _read_hidden(name: str) -> Callable[[World], str]:
    def run(world: World) -> str:
        done = subprocess.run(
            [sys.executable, "-c", _HIDDEN_WORKER, name],
            capture_output=True,
            text=True,
            check=True,
            cwd=BASE_DIR,
            env={"DATABASE_URL": "postgres://secret", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return done.stdout.strip()

    return run


def _parse_without_sandbox(world: World) -> str:
    with (
        tempfile.TemporaryFile() as file,
        patch.object(extractor, "CHILD_MODULE", "tests.security.bare_parser"),
        override_platform_settings(EXTRACTION_WITHOUT_SANDBOX=False),
    ):
        file.write(b"text")
        file.flush()
        try:
            return f"read {extractor.extract_file(file, 'text/plain').blocks[0].text!r}"
        except SandboxUnavailableError as error:
            return error.code


def _scrape(token: str, **headers: str) -> Callable[[World], str]:
    """Return an attack on the metrics port of a process without HTTP, configured with METRICS_TOKEN ``token``."""

    def run(world: World) -> str:
        statuses: list[str] = []
        environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", **headers}
        with override_platform_settings(METRICS_TOKEN=token):
            answer = b"".join(answer_scrape(environ, lambda status, headers, exc=None: statuses.append(status)))  # type: ignore[arg-type, misc]
        return f"{statuses[0]}, {answer.decode().strip()}"[:40]

    return run


def _deploy_by_tag(world: World) -> str:
    with override_platform_settings(IMAGE="registry.example.com/jobsplatform:latest"):
        faults = check_image(None)
    return str(faults[0].id) if faults else "deployed"


def _row(name: str, sends: str, run: Callable[[World], str], refusal: str = REFUSED) -> Attack:
    return Attack(f"extraction child: {name}", sends, refusal, run)


ATTACKS: tuple[Attack, ...] = (
    _row("environment of the worker", "open /proc/PPID/environ", hostile("read of parent", "environ")),
    _row("memory of the worker", "open /proc/PPID/mem", hostile("read of parent", "mem")),
    _row("memory of the worker by call", "process_vm_readv(PPID)", hostile("read memory of parent")),
    _row("ptrace of the worker", "ptrace(PTRACE_ATTACH, PPID)", hostile("trace parent")),
    _row("signal to the worker", "kill(PPID)", hostile("kill parent")),
    _row("signal to the worker by a pipe", "fcntl(1, F_SETOWN, PPID)", hostile("own pipe")),
    _row("limits of the worker", "prlimit(PPID)", hostile("limit parent")),
    _row("limits of its own", "setrlimit(RLIMIT_CPU)", hostile("raise limits")),
    _row("network by TCP", "connect to a listening port", _connect),
    _row("network by UDP", "sendto 127.0.0.1:53", hostile("send datagram", ["127.0.0.1", 53])),
    _row("file of another tenant", "open for reading", _on_tenant_file("read")),
    _row("new file", "open with O_CREAT", _create),
    _row("deletion of a file", "unlink", _on_tenant_file("delete")),
    _row("renaming of a file", "rename", _on_tenant_file("rename")),
    _row("write to its input", "mmap(MAP_SHARED, PROT_WRITE) of descriptor 0", hostile("write input")),
    _row("fork", "fork()", hostile("fork")),
    _row("another program", "execve /bin/true", hostile("execute")),
    _row("environment of its own", "os.environ", hostile("show environment"), "{}"),
    _row("kernel without a sandbox", "a file", _parse_without_sandbox, "sandbox_unavailable"),
    Attack("metrics port: without a token", "GET :9100/metrics", NO_TOKEN, _scrape("known")),
    Attack("metrics port: wrong token", "Bearer guess", NO_TOKEN, _scrape("known", HTTP_AUTHORIZATION="Bearer guess")),
    Attack("metrics port: no token is set", "Bearer and nothing", NO_TOKEN, _scrape("", HTTP_AUTHORIZATION="Bearer ")),
    Attack("deployment: image by tag", "IMAGE=jobsplatform:latest", "jobsplatform.E010", _deploy_by_tag),
    Attack("worker: environment read by its account", "open /proc/PID/environ", REFUSED, _read_hidden("environ")),
    Attack("worker: memory read by its account", "open /proc/PID/mem", REFUSED, _read_hidden("mem")),
)
