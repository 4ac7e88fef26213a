"""A script that ends a launcher's processes and removes its folder when the launcher has ended or was killed.

It runs as its own process and needs only the standard library. Its standard input is a pipe that the launcher holds
open; the pipe closes when the launcher ends, for whatever reason. Processes are recognised by a mark in their
environment, so grandchildren are included, and no other process is touched.

    python reaper.py MARK [FOLDER_TO_REMOVE]
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK_VARIABLE = "JOBSPLATFORM_SERVERS"
GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05
# These get their own signal from the kernel, which suits them better than SIGTERM.
_SERVERS = {"postgres", "valkey-server"}


def marked_processes(mark: str) -> Iterator[int]:
    """Yield the ids of live processes whose environment contains the mark."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        # A process may end between listing and reading, and other users' environments are not readable.
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until_gone(mark: str, seconds: float) -> bool:
    """Wait until no process has the mark; return False if some are left after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(True for _ in marked_processes(mark)):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def end_marked(mark: str, grace_seconds: float = GRACE_SECONDS) -> None:
    """End every process that has the mark: with SIGTERM first, with SIGKILL after the grace period."""
    for pid in marked_processes(mark):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() not in _SERVERS:
                _signal(pid, signal.SIGTERM)
    if _wait_until_gone(mark, grace_seconds):
        return
    for pid in marked_processes(mark):
        _signal(pid, signal.SIGKILL)
    _wait_until_gone(mark, grace_seconds)


def main(arguments: list[str]) -> int:
    """Wait until the launcher has ended, then end its processes and remove its folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_marked(arguments[0])
    if len(arguments) > 1:
        shutil.rmtree(arguments[1], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
