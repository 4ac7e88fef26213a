"""The platform's processes as an operator runs them, each under its own name for PostgreSQL, and what kills them."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from jobsplatform.demo.processes import HOST, ROOT
from jobsplatform.demo.readings import read_slots
from jobsplatform.embedded.binaries import valkey_program
from jobsplatform.embedded.identity import Identity, die_with_parent
from jobsplatform.embedded.supervision import Server, bare_environment
from jobsplatform.embedded.valkey import ADMINISTRATOR, broker_url, start_valkey
from scheduling.models import Worker
from tenants.context import all_tenants

POOL, SLOTS = "default", 2
READY_SECONDS = 180.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1


class SoakFailedError(RuntimeError):
    """The platform did not come up."""


@dataclass(slots=True)
class Member:
    """A process to keep running: its role, its command, and the one that runs now."""

    role: str
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    # A fault has taken it away on purpose; whoever did it brings it back.
    is_left_alone: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0


class Broker:
    """A Valkey of the run's own, which can be killed and comes back empty where it was."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._password = folder, secrets.token_hex(16)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        if self._server is None:
            raise SoakFailedError("The broker was not started.")
        return broker_url(self._server.port, self._password)

    def empty(self) -> None:
        """FLUSHALL, as the administrator: no process of the platform may."""
        if self._server is None:
            raise SoakFailedError("The broker was not started.")
        with redis.Redis.from_url(broker_url(self._server.port, self._password, ADMINISTRATOR)) as client:
            client.flushall()

    @property
    def pid(self) -> int:
        return self._server.process.pid if self._server else 0

    def start(self) -> None:
        """It dies with the thread that calls this."""
        self._server = start_valkey(
            valkey_program(),
            self._folder,
            password=self._password,
            identity=Identity.CALLER,
            environment=bare_environment("SOAK_BROKER", "1"),
            port=self._server.port if self._server else None,
        )

    def kill(self) -> None:
        if self._server is not None:
            self._server.process.kill()
            self._server.process.wait()


@dataclass(slots=True)
class Stack:
    """Everything that runs, and how often somebody ended whom nobody had asked to end."""

    folder: Path
    broker: Broker
    port: int
    members: list[Member] = field(default_factory=list)
    unasked_ends: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def of_role(self, role: str) -> list[Member]:
        return [member for member in self.members if member.role == role]

    def add(self, role: str, *command: str) -> None:
        member = Member(role, f"{role}-{len(self.of_role(role)) + 1}", [sys.executable, *command])
        self.members.append(member)
        self.start(member)

    def start(self, member: Member) -> None:
        with self._log(member).open("ab") as output:
            member.process = subprocess.Popen(  # noqa: S603 - our own command
                member.command,
                cwd=ROOT,
                env=os.environ | self._variables(member),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - touches no lock
            )
        member.is_left_alone = False

    def _variables(self, member: Member) -> Mapping[str, str]:
        own = {"REDIS_URL": self.broker.url, "CACHE_URL": self.broker.url, "PGAPPNAME": member.role}
        return own | {"DIAGNOSTIC_KINDS": "true", "ALLOWED_HOSTS": "*", "METRICS_PORT": "0"}

    def kill(self, member: Member) -> None:
        """SIGKILL it and its children, as the kernel does when memory runs out; it is left to be started again."""
        member.is_left_alone = True
        if member.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(member.pid, signal.SIGKILL)
            member.process.wait()

    def stop(self, member: Member) -> None:
        """SIGTERM, as a deploy does; it ends by itself or is killed."""
        member.is_left_alone = True
        if member.process is None:
            return
        member.process.send_signal(signal.SIGTERM)
        try:
            member.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.unasked_ends.append(f"{member.name} did not end within {STOP_SECONDS:.0f} s of SIGTERM")
            self.kill(member)

    def replace(self, member: Member) -> None:
        """Start a new process of a worker, and when it takes jobs, SIGTERM the old one."""
        old = Member(member.role, member.name, member.command, member.process)
        self.start(member)
        deadline = time.monotonic() + READY_SECONDS
        while not _is_online(member.pid) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.stop(old)

    def keep_running(self) -> None:
        """Start again whoever has ended without being asked, and remember it."""
        for member in self.members:
            if member.is_left_alone or member.process is None or (status := member.process.poll()) is None:
                continue
            self.unasked_ends.append(f"{member.name} ended with status {status} ({self._last_line(member)})")
            self.start(member)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        slots = SLOTS * len(self.of_role("worker"))
        while not (self._answers() and read_slots(POOL) >= slots):
            if time.monotonic() > deadline:
                raise SoakFailedError(f"Not ready within {READY_SECONDS:.0f} s.\n{self.log_tails()}")
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.address}/health/ready", timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["status"] == "ready"

    def _last_line(self, member: Member) -> str:
        lines = self._log(member).read_text(errors="replace").rstrip().splitlines()
        return lines[-1].strip()[:120] if lines else "it wrote nothing"

    def _log(self, member: Member) -> Path:
        return self.folder / f"{member.name}.log"

    def log_tails(self) -> str:
        tails = [f"--- {path.name}\n{path.read_text(errors='replace')[-2_000:]}" for path in self.folder.glob("*.log")]
        return "\n".join(tails)


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Web, two dispatchers, two workers, one for maintenance, auditor, beat, on an own broker; stopped at the end."""
    os.environ["SECRET_KEY"] = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48)
    broker = Broker(folder)
    broker.start()
    stack = Stack(folder, broker, _free_port())
    try:
        bind = f"--bind={HOST}:{stack.port}"
        stack.add("web", "-m", "gunicorn", bind, "--workers=2", "--threads=4", "jobsplatform.wsgi")
        for _ in range(2):
            stack.add("dispatcher", "manage.py", "dispatch_jobs")
        stack.add("auditor", "manage.py", "run_auditor")
        for _ in range(2):
            stack.add("worker", "manage.py", "run_worker", f"--pool={POOL}", f"--concurrency={SLOTS}")
        stack.add("maintenance", "manage.py", "run_worker", "--pool=maintenance", "--concurrency=1")
        stack.add("beat", "-m", "celery", "--app", "jobsplatform", "beat", "--pidfile=")
        stack.wait_ready()
        yield stack
    finally:
        for member in stack.members:
            if member.process is not None and member.process.poll() is None:
                member.process.send_signal(signal.SIGCONT)
                member.process.send_signal(signal.SIGTERM)
        for member in stack.members:
            _end(stack, member)
        broker.kill()


def _end(stack: Stack, member: Member) -> None:
    if member.process is not None:
        try:
            member.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            stack.kill(member)


def _is_online(pid: int) -> bool:
    with all_tenants():
        return Worker.objects.filter(pid=pid, status=Worker.Status.ONLINE, stopped_at=None).exists()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
