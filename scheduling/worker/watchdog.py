"""A watchdog that exits the process if one of its loops stalls, and heartbeat files for probes without HTTP."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scheduling.worker.canary import LONGEST_LOOK_SECONDS
from scheduling.worker.orphan_processes import descendants_of, send
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# Files of killed processes are removed after this time.
KEPT_SECONDS = 86_400.0
# Times are written in whole milliseconds, so one may seem to lie in the future.
ROUNDING_SECONDS = 0.001


class HeartbeatFile:
    """The heartbeat file of this process; it is overwritten in place, so that a full disk does not prevent it."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._pid = os.getpid()
        self._file: int | None = None
        self._is_failed = False

    def write(self, now: float) -> None:
        """Write the time of a heartbeat into the file; an error is logged once and not raised."""
        try:
            if self._file is None:
                self._file = self._open()
            os.pwrite(self._file, f"{now:<31.3f}\n".encode(), 0)
            self._is_failed = False
        except OSError:
            if not self._is_failed:
                logger.warning("heartbeat_file.not_written", exc_info=True)
            self._is_failed = True

    def remove(self) -> None:
        """Remove the file when the process ends; a forked child does not remove its parent's file."""
        if self._file is not None and os.getpid() == self._pid:
            self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return _directory() / f"{self._role}.{self._pid}"

    def _open(self) -> int:
        _directory().mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, age in _ages_of(self._role):
            if not -ROUNDING_SECONDS <= age < KEPT_SECONDS:
                path.unlink(missing_ok=True)
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def read_heartbeat_age(role: str) -> float | None:
    """Return the seconds since the last heartbeat of any process of the role on this machine; None if there is none."""
    # A heartbeat in the future was written before the machine rebooted.
    return min((max(0.0, age) for _, age in _ages_of(role) if age >= -ROUNDING_SECONDS), default=None)


def _directory() -> Path:
    given = platform_settings.HEARTBEAT_DIRECTORY
    return Path(given) if given else Path(tempfile.gettempdir()) / f"jobsplatform-{os.getuid()}"


def _ages_of(role: str) -> Iterator[tuple[Path, float]]:
    """Yield the role's files with the seconds since their heartbeats; a file that was just opened contains none yet.

    On a shared machine other users can take the directory's name, so only this user's files count.
    """
    for path in _directory().glob(f"{role}.*"):
        with suppress(OSError, ValueError):
            if path.lstat().st_uid == os.getuid():
                beat = float(path.read_text())
                # The clock is read last, so that a heartbeat written during the probe is not in the future.
                yield path, time.monotonic() - beat


# EX_TEMPFAIL: start the process again.
EXIT_STATUS = 75
LOOK_SECONDS = 0.5
# A log with a hanging reader delays the exit by at most this.
LOG_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class WatchedLoop:
    """A loop that the watchdog watches; it calls `turn` in each iteration.

    A loop with longer iterations than others has ``patience`` times the usual limit.
    """

    name: str
    patience: float = 1.0
    turns: int = 0
    still_seconds: float = 0.0
    _seen_turns: int = 0

    def turn(self) -> None:
        """Count an iteration of the loop."""
        self.turns += 1

    def is_late(self, elapsed: float, limit_seconds: float) -> bool:
        """Add ``elapsed`` seconds if the loop has not moved since the last check; return whether it has stalled.

        It has stalled if the added seconds exceed ``limit_seconds``.
        """
        if self.turns != self._seen_turns:
            self._seen_turns, self.still_seconds = self.turns, 0.0
        else:
            self.still_seconds += elapsed
        return self.still_seconds > self.patience * limit_seconds


def end_process(reason: str) -> None:
    """Kill the child processes and exit at once with status 75, without clean-up, which a stalled loop could block."""
    logging_thread = threading.Thread(target=_log_end, args=[reason], daemon=True)
    logging_thread.start()
    logging_thread.join(LOG_SECONDS)
    with suppress(FileNotFoundError):  # without /proc they cannot be listed
        for process in descendants_of(os.getpid()):
            send(process.pid, signal.SIGKILL)
    os._exit(EXIT_STATUS)


class Watchdog:
    """The watched loops of this process, and the thread that checks them and writes the heartbeat file of ``role``.

    Time in which the process did not run, suspended or without a processor, does not count against a loop.
    """

    def __init__(self, role: str = "", *, give_up: Callable[[str], None] = end_process) -> None:
        self._give_up = give_up
        self._heartbeat = HeartbeatFile(role) if role else None
        self._loops: list[WatchedLoop] = []
        self._looked_at: float | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str, *, patience: float = 1.0) -> WatchedLoop:
        """Watch a loop from now on, and return it; the first call starts the thread."""
        loop = WatchedLoop(name, patience)
        self._loops.append(loop)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            self._thread.start()
            atexit.register(self.stop)
        return loop

    def remove(self, loop: WatchedLoop) -> None:
        """Stop watching a loop that has ended."""
        self._loops.remove(loop)

    def stop(self) -> None:
        """Stop checking the loops, and remove the heartbeat file."""
        self._stopped.set()
        if self._heartbeat is not None:
            self._heartbeat.remove()

    def look(self, now: float) -> str:
        """Check the loops; return why the process should end, or an empty text if no loop has stalled."""
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, LONGEST_LOOK_SECONDS)
        self._looked_at = now
        late = [loop for loop in list(self._loops) if loop.is_late(elapsed, platform_settings.WATCHDOG_SECONDS)]
        if not late:
            return ""
        return f"{late[0].name} has stalled for {late[0].still_seconds:.0f} s; exit status {EXIT_STATUS}."

    def _run(self) -> None:
        while not self._stopped.is_set():
            if reason := self.look(time.monotonic()):
                self._give_up(reason)
                return
            if self._heartbeat is not None:
                self._heartbeat.write(time.monotonic())
            self._stopped.wait(LOOK_SECONDS)


def _log_end(reason: str) -> None:
    # Before the log, whose lock the hung loop may hold.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"watchdog: {reason}\n".encode())
    logger.critical("watchdog.exit", extra={"reason": reason})
    for handler in logging.getLogger().handlers:
        handler.flush()
