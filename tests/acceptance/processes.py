"""Processes of the platform in tests: start, kill, stop, and removal after the test."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
# For conditions that must become true "soon" on a machine that runs other tests.
PATIENCE_SECONDS = 60.0
MANAGE = ("manage.py",)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def eventually[T](question: Callable[[], T], *, within: float = PATIENCE_SECONDS, what: str = "") -> T:
    """Return the first true result of ``question``; fail with ``what`` if there is none in time."""
    until = time.monotonic() + within
    while not (answer := question()):
        if time.monotonic() >= until:
            raise AssertionError(f"Not within {within:g} s: {what or question}; the last answer was {answer!r}.")
        time.sleep(POLL_SECONDS)
    return answer


class ManagedProcess:
    """A `manage.py` command in its own process group, which dies with the tests."""

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, *, program: tuple[str, ...] = MANAGE
    ) -> None:
        self._log = log
        # Whether it was killed or stopped; otherwise it ended by itself.
        self.was_ended = False
        self._started_at = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - touches no lock
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self.status is None

    @property
    def age(self) -> float:
        """Return the seconds since its start."""
        return time.monotonic() - self._started_at

    @property
    def status(self) -> int | None:
        """Return its exit status; None while it runs."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Return its live child processes: of a worker, those that run jobs."""
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in pids]

    def kill(self) -> None:
        """Kill it and its children, as the kernel does when memory runs out."""
        if self.is_running:
            self.was_ended = True
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def kill_alone(self) -> None:
        """Kill it, and leave its children running."""
        self.was_ended = True
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def ask_to_stop(self) -> None:
        self.was_ended = True
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Return its exit status; fail if it does not end in time."""
        return self._process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Stop it, or kill it after a timeout; return its exit status."""
        if self.is_running:
            self.ask_to_stop()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
