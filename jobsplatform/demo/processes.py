"""Start and stop of the platform's real processes, as an operator does it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from jobsplatform.demo.readings import read_slots
from jobsplatform.demo.scenario import POOL
from jobsplatform.embedded.server_user import die_with_parent

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
# Processes that start in parallel on a busy machine are slow; this only ends a broken run.
READY_SECONDS = 300.0
# Longer than the worker's own grace period, so that it is never cut short.
STOP_SECONDS = 30.0
LOG_TAIL_LINES = 25


class PlatformFailedError(RuntimeError):
    """The platform's processes did not start, or ended by themselves."""


class Platform:
    """A running `run_platform` process with its URL and its log."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self._process = process
        self.address = address
        self._log = log

    def require_alive(self) -> None:
        """Raise PlatformFailedError, with the end of the log, if the process has ended."""
        if (status := self._process.poll()) is not None:
            raise PlatformFailedError(f"run_platform ended with status {status}.\n{self.log_tail()}")

    def wait_ready(self) -> None:
        """Wait until the readiness probe succeeds and a worker is online.

        Raise PlatformFailedError if this takes more than READY_SECONDS.
        """
        deadline = time.monotonic() + READY_SECONDS
        while (lacking := self._lacking()) and time.monotonic() < deadline:
            self.require_alive()
            time.sleep(0.1)
        if lacking:
            raise PlatformFailedError(f"Not ready within {READY_SECONDS:.0f} s: {lacking}\n{self.log_tail()}")

    def _lacking(self) -> str:
        """Return a sentence that says what is missing before jobs can run, or an empty text."""
        try:
            answer = httpx.get(f"{self.address}/health/ready", headers={"Host": "localhost"}, timeout=5)
        except httpx.TransportError:
            return "the web server does not respond yet."
        if not answer.is_success or answer.json()["status"] != "ready":
            return answer.text
        return "" if read_slots(POOL) else "no worker has registered."

    def wait(self) -> None:
        """Wait until the process ends by itself."""
        self._process.wait()

    def stop(self) -> None:
        """Stop the process with SIGTERM; kill it after STOP_SECONDS."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log_tail(self) -> str:
        """Return the last lines of the log of all processes."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


@contextmanager
def running_platform(log: Path, *options: str, bind: str = "") -> Iterator[Platform]:
    """Start all processes of the platform; yield them when they are ready, and stop them after the block.

    ``options`` are command-line options of `run_platform`. The web server listens on ``bind``, or else on a free port.
    """
    bind = bind or f"{HOST}:{free_port()}"
    command = [sys.executable, "manage.py", "run_platform", "--bind", bind, *options]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=ROOT,
            env=os.environ.copy(),
            stdout=output,
            stderr=subprocess.STDOUT,
            # A session of its own: the terminal's Ctrl-C reaches only the demonstration, which then stops it.
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - touches no lock
        )
    platform = Platform(process, f"http://{bind}", log)
    try:
        platform.wait_ready()
        yield platform
    finally:
        platform.stop()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
