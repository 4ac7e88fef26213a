"""The platform's processes as a test sees them: started, killed, stopped, and surely gone afterwards."""

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
# For whatever must happen "soon" on a machine that other tests keep busy.
PATIENCE_SECONDS = 60.0
MANAGE = ("manage.py",)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def eventually[T](question: Callable[[], T], *, within: float = PATIENCE_SECONDS, what: str = "") -> T:
    """The first true answer to ``question``; fails with ``what`` when there is none in time."""
    until = time.monotonic() + within
    while not (answer := question()):
        if time.monotonic() >= until:
            raise AssertionError(f"Not within {within:g} s: {what or question}; the last answer was {answer!r}.")
        time.sleep(POLL_SECONDS)
    return answer


class ManagedProcess:
    """One `manage.py` command in a process group of its own, which dies with the tests."""

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, *, program: tuple[str, ...] = MANAGE
    ) -> None:
        self._log = log
        # Whether it was killed or asked to stop; else it ended by itself.
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
        """Seconds since it was started."""
        return time.monotonic() - self._started_at

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return self._log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Its living child processes: of a worker, those that run jobs."""
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in pids]

    def kill(self) -> None:
        """End it and its children without notice, as the kernel does when memory runs out."""
        if self.is_running:
            self.was_ended = True
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def kill_alone(self) -> None:
        """End it without notice, and leave its children behind."""
        self.was_ended = True
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def ask_to_stop(self) -> None:
        self.was_ended = True
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit status; fails when it does not end in time."""
        return self._process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Ask it to stop, and kill it when it does not; its exit status."""
        if self.is_running:
            self.ask_to_stop()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
