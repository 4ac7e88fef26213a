"""Heartbeat files: what the liveness probe of a process without HTTP reads, and no database is asked for.

A file holds the time of the last heartbeat by the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scheduling.conf import heartbeat_directory

logger = logging.getLogger(__name__)

# Files of processes that were killed are removed after this time.
KEPT_SECONDS = 86_400.0
# A time is written in whole milliseconds, so that it may seem to lie ahead.
ROUNDING_SECONDS = 0.001


class HeartbeatFile:
    """The file of this process. It is written in place, so that a full disk does not end the heartbeat."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._pid = os.getpid()
        self._file: int | None = None
        self._is_failed = False

    def write(self, now: float) -> None:
        """Write a heartbeat. An error is logged once: it is no reason to end the process."""
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
        """Remove the file of a process that ends; a forked child leaves its parent's."""
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
    given = heartbeat_directory()
    return Path(given) if given else Path(tempfile.gettempdir()) / f"jobsplatform-{os.getuid()}"


def _ages_of(role: str) -> Iterator[tuple[Path, float]]:
    """Yield the role's files with the seconds since their heartbeats; a file that was just opened holds none yet.

    On a shared machine the directory's name can be taken by others: only this user's files count.
    """
    for path in _directory().glob(f"{role}.*"):
        with suppress(OSError, ValueError):
            if path.lstat().st_uid == os.getuid():
                beat = float(path.read_text())
                # The clock is read last: a heartbeat that is written while the probe reads does not lie ahead of it.
                yield path, time.monotonic() - beat
