"""Dispatchers and workers, started as an operator does without a web server, and processor time from /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.db import connection

from benchmarks.harness.parts import POOL, MeasureFailedError
from jobsplatform.demo.processes import ROOT, Platform
from jobsplatform.demo.readings import read_slots
from jobsplatform.embedded.server_user import die_with_parent
from scheduling.models import PoolClock, ProcessHeartbeat, Worker
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings

READY_SECONDS, STOP_SECONDS, LOOK_SECONDS = 120.0, 20.0, 0.05
LOG_TAIL = 2_000
GROUPS = ("PostgreSQL", "broker", "dispatcher", "worker")
_PROC = Path("/proc")
# Of the fields after the name: user and system time of the process, and of its ended children.
_OWN, _OF_ALL = slice(11, 13), slice(11, 15)


@dataclass(slots=True)
class Processes:
    """The processes of a part."""

    folder: Path
    dispatchers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, slots: int, *, has_spare: bool = True) -> subprocess.Popen[bytes]:
        """Start a worker, with a spare child or none, and return it once it is registered."""
        environment = {} if has_spare else {"WORKER_SPARE_CHILDREN": "0"}
        worker = self.start("run_worker", f"--pool={POOL}", f"--slots={slots}", environment=environment)
        self.workers.append(worker)
        self.wait_until(lambda: _is_online(worker.pid), within=READY_SECONDS, what="a worker registers")
        return worker

    def start_dispatcher(self) -> subprocess.Popen[bytes]:
        """Start one more dispatcher."""
        self.dispatchers.append(self.start("dispatch_jobs"))
        return self.dispatchers[-1]

    def kill(self, process: subprocess.Popen[bytes]) -> float:
        """Kill a worker and its children by SIGKILL; return the time by this process's clock."""
        self.workers.remove(process)
        killed_at = time.time()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return killed_at

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a `manage.py` command in a session of its own, which ends with this process."""
        return self.run([sys.executable, "manage.py", *arguments], log=arguments[0], environment=environment)

    def run(
        self, command: Sequence[str], *, log: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        """Start any command in a session of its own, in any folder; it ends with this process."""
        with (self.folder / f"{log}.log").open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own command
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - touches no lock
            )

    def require_alive(self) -> None:
        """Raise `MeasureFailedError`, with the ends of the logs, if a process has ended."""
        for process in [*self.dispatchers, *self.workers]:
            if (status := process.poll()) is not None:
                tails = "\n".join(path.read_text(errors="replace")[-LOG_TAIL:] for path in self.folder.glob("*.log"))
                raise MeasureFailedError(f"A process ended with status {status}.\n{tails}")

    def wait_until(self, is_so: Callable[[], bool], *, within: float, what: str) -> float:
        """Wait for a condition and return the time. Raise `MeasureFailedError` on a dead process or at the deadline."""
        deadline = time.monotonic() + within
        while not is_so():
            self.require_alive()
            if time.monotonic() >= deadline:
                raise MeasureFailedError(f"Not within {within:.0f} s: {what}.")
            time.sleep(LOOK_SECONDS)
        return time.time()

    def stop(self) -> None:
        """Send SIGTERM to all, and SIGKILL to those that do not stop in time."""
        processes = [*self.dispatchers, *self.workers]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_on_platform(platform: Platform, is_so: Callable[[], bool], *, within: float, what: str) -> None:
    """Wait for a condition while `run_platform` runs. Raise `MeasureFailedError` at the deadline."""
    deadline = time.monotonic() + within
    while not is_so():
        platform.require_alive()
        if time.monotonic() >= deadline:
            raise MeasureFailedError(f"Not within {within:.0f} s: {what}.\n{platform.log_tail()}")
        time.sleep(10 * LOOK_SECONDS)


@contextmanager
def serving(
    folder: Path, *, slots: int, dispatchers: int = 1, workers: int = 1, has_spare: bool = True
) -> Iterator[Processes]:
    """Start workers of ``slots`` slots each and dispatchers, yield them once they are ready, and stop them."""
    processes = Processes(folder)
    try:
        for _ in range(workers):
            processes.start_worker(slots, has_spare=has_spare)
        processes.wait_until(lambda: read_slots(POOL) >= slots * workers, within=READY_SECONDS, what="slots are there")
        for _ in range(dispatchers):
            processes.start_dispatcher()
        processes.wait_until(is_ticking, within=READY_SECONDS, what="a dispatcher ticks")
        pids = [dispatcher.pid for dispatcher in processes.dispatchers]
        processes.wait_until(lambda: _have_reported(pids), within=READY_SECONDS, what="all dispatchers report")
        yield processes
    finally:
        processes.stop()


def _is_online(pid: int) -> bool:
    with all_tenants():
        return Worker.objects.filter(pid=pid, status=Worker.Status.ONLINE, stopped_at=None).exists()


def _have_reported(pids: Sequence[int]) -> bool:
    with all_tenants():
        return ProcessHeartbeat.objects.filter(pid__in=pids).values("pid").distinct().count() == len(pids)


def is_ticking(pool: str = POOL) -> bool:
    """Return whether a dispatcher serves the pool."""
    with all_tenants():
        return PoolClock.objects.filter(pool__name=pool, ticked_at__isnull=False).exists()


def seconds_of(pid: int) -> float:
    """Return user and system time of one process; 0 if it is gone, or if the system has no /proc."""
    return _sum(_fields(pid), _OWN)


def seconds_of_family(pid: int) -> float:
    """Return the time of a process and of all its descendants, ended ones included."""
    return sum(_sum(_fields(member), _OF_ALL) for member in family_of(pid))


def family_of(pid: int) -> set[int]:
    """Return a process and all its live descendants."""
    parents = list(_parents())
    family, wanted = {pid}, {pid}
    while wanted := {child for child, parent in parents if parent in wanted}:
        family |= wanted
    return family


def memory_of(pid: int) -> tuple[float, float]:
    """Return a process's resident memory in MiB, and its part of that if shared pages are divided among the sharers."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {words[0]: int(words[1]) / 1_024 for line in lines[1:] if (words := line.split())}
    return sizes["Rss:"], sizes["Pss:"]


def seconds_of_postgresql() -> float:
    """Return the time of all PostgreSQL processes; 0 if it is not on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        fields = _fields(cursor.fetchone()[0])
    return seconds_of_family(int(fields[1])) if fields else 0.0


def read_processor_seconds(processes: Processes) -> Mapping[str, float]:
    """Return the processor seconds of each group, ended children's included. The servers must run on this machine."""
    with redis.Redis.from_url(platform_settings.REDIS_URL) as broker:
        broker_pid = int(broker.info("server")["process_id"])
    return {
        "PostgreSQL": seconds_of_postgresql(),
        "broker": seconds_of_family(broker_pid),
        "dispatcher": sum(seconds_of_family(process.pid) for process in processes.dispatchers),
        "worker": sum(seconds_of_family(process.pid) for process in processes.workers),
    }


def children_of(pid: int) -> list[int]:
    """Return the live child processes of a process."""
    return [child for child, parent in _parents() if parent == pid]


def _parents() -> Iterator[tuple[int, int]]:
    for folder in _PROC.glob("[0-9]*"):
        if fields := _fields(int(folder.name)):
            yield int(folder.name), int(fields[1])


def _fields(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _sum(fields: list[str], which: slice) -> float:
    return sum(map(int, fields[which])) / os.sysconf("SC_CLK_TCK")
