"""Supervision of child processes: restarts them after a crash, and stops them on a signal."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. Call it from the main thread."""
    stopped = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stopped


logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
MIN_BACK_OFF_SECONDS = 0.5
MAX_BACK_OFF_SECONDS = 30.0
# Uptime after which the backoff is reset.
WELL_AFTER_SECONDS = 30.0
# Enough for a worker's soft shutdown, the return of its jobs and Celery's own end.
STOP_SECONDS = 25.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Service:
    """Process to keep running: its name in the log, its command line and additional environment variables."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Watched:
    """A service with its current process and the time before which it is not restarted."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = 0.0
        self._back_off_seconds = MIN_BACK_OFF_SECONDS

    @property
    def pid(self) -> int | None:
        """Return the id of the process, even after its end; None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def has_ended(self) -> bool:
        """Return whether no process of the service is running."""
        return self._process is None or self._process.poll() is not None

    def keep_running(self) -> None:
        """Start the process, unless it is running or a restart must wait longer."""
        if self._process is not None and self._process.poll() is None:
            return
        now = time.monotonic()
        if self._process is not None:
            self._note_death(self._process, now)
        if now >= self._restart_at:
            self._start(now)

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait_or_kill(self, until: float) -> None:
        """Wait for the process until ``until`` (monotonic clock), and then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("platform.service_killed", extra={"service": self.service.name})
            self._process.kill()
            self._process.wait()

    def _note_death(self, process: subprocess.Popen[bytes], now: float) -> None:
        if now - self._started_at >= WELL_AFTER_SECONDS:
            self._back_off_seconds = MIN_BACK_OFF_SECONDS
        self._restart_at = now + self._back_off_seconds
        logger.warning(
            "platform.service_died",
            extra={
                "service": self.service.name,
                "status": process.returncode,
                "restart_in_seconds": self._back_off_seconds,
            },
        )
        self._back_off_seconds = min(2 * self._back_off_seconds, MAX_BACK_OFF_SECONDS)
        self._process = None

    def _start(self, now: float) -> None:
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        # In a session of its own: a terminal's Ctrl-C reaches only the supervisor, which signals once.
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            self.service.command,
            env=os.environ | self.service.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - touches no lock
        )
        self._started_at = now
        logger.info("platform.service_started", extra={"service": self.service.name, "service_pid": self._process.pid})


def supervise(services: Sequence[Service], stopped: threading.Event) -> None:
    """Keep ``services`` running until ``stopped`` is set, then stop them all and return."""
    watched = [Watched(service) for service in services]
    try:
        while not stopped.is_set():
            for one in watched:
                one.keep_running()
            stopped.wait(POLL_SECONDS)
    finally:
        for one in watched:
            one.ask_to_stop()
        until = time.monotonic() + STOP_SECONDS
        for one in watched:
            one.wait_or_kill(until)
