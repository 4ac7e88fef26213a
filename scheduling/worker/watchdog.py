"""Watchdog of a process: if one of its loops stops turning, the process exits and its supervisor starts it again.

A statement over a half-open connection never returns, and its thread cannot be interrupted. A turn that ends in an
error is a turn, so an outage of the database restarts nothing.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from scheduling.conf import watchdog_seconds
from scheduling.worker.canary import LONGEST_LOOK_SECONDS
from scheduling.worker.heartbeat_file import HeartbeatFile
from scheduling.worker.leftovers import descendants_of, send

logger = logging.getLogger(__name__)

# EX_TEMPFAIL: start the process again.
EXIT_STATUS = 75
LOOK_SECONDS = 0.5
# A log whose reader hangs delays the exit by no more than this.
LOG_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class Loop:
    """A loop that marks its turns. A loop whose turns take longer than others' has ``patience`` times the limit."""

    name: str
    patience: float = 1.0
    turns: int = 0
    still_seconds: float = 0.0
    _seen_turns: int = 0

    def turn(self) -> None:
        """Mark that the loop goes on."""
        self.turns += 1

    def is_late(self, elapsed: float, limit_seconds: float) -> bool:
        """Add the time since the last look if there was no turn in it; return whether that makes too much."""
        if self.turns != self._seen_turns:
            self._seen_turns, self.still_seconds = self.turns, 0.0
        else:
            self.still_seconds += elapsed
        return self.still_seconds > self.patience * limit_seconds


def end_process(reason: str) -> None:
    """Exit at once with status 75, without the clean-up that a hung loop would hold up; children are killed first."""
    logging_thread = threading.Thread(target=_log_end, args=[reason], daemon=True)
    logging_thread.start()
    logging_thread.join(LOG_SECONDS)
    with suppress(FileNotFoundError):  # without /proc they cannot be listed
        for process in descendants_of(os.getpid()):
            send(process.pid, signal.SIGKILL)
    os._exit(EXIT_STATUS)


class Watchdog:
    """The loops of this process and the thread that watches them; it writes the heartbeat file of ``role``, if given.

    Time in which the process did not run, suspended or without a processor, is not counted against a loop.
    """

    def __init__(self, role: str = "", *, give_up: Callable[[str], None] = end_process) -> None:
        self._give_up = give_up
        self._heartbeat = HeartbeatFile(role) if role else None
        self._loops: list[Loop] = []
        self._looked_at: float | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str, *, patience: float = 1.0) -> Loop:
        """Watch a loop from now on."""
        loop = Loop(name, patience)
        self._loops.append(loop)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            self._thread.start()
            atexit.register(self.stop)
        return loop

    def remove(self, loop: Loop) -> None:
        """Stop watching a loop that has ended."""
        self._loops.remove(loop)

    def stop(self) -> None:
        """Stop watching, and remove the heartbeat file."""
        self._stopped.set()
        if self._heartbeat is not None:
            self._heartbeat.remove()

    def look(self, now: float) -> str:
        """Return why the process should end; an empty text if all loops turn."""
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, LONGEST_LOOK_SECONDS)
        self._looked_at = now
        late = [loop for loop in list(self._loops) if loop.is_late(elapsed, watchdog_seconds())]
        if not late:
            return ""
        return f"{late[0].name} has not turned for {late[0].still_seconds:.0f} s; exit status {EXIT_STATUS}."

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
