"""The end of processes that outlive their job: they are ended and reaped, and no orphan of a dead child is left either.

A pool's child adopts the orphans among its descendants, and the worker's parent those of a child that died. A daemon
cannot escape: neither setsid(2) nor a double fork changes which process adopts it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import defaultdict
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scheduling.worker import process_state

if TYPE_CHECKING:
    from scheduling.execution.logs.job_log import JobLogWriter


logger = logging.getLogger(__name__)

# The time from SIGTERM to SIGKILL, and the longest wait in all.
TERM_SECONDS = 0.5
END_SECONDS = 1.0
_LOOK_SECONDS = 0.01
_DEAD = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; ``command`` is the name of its program, without arguments, which may contain secrets."""

    pid: int
    parent: int
    command: str


def end_processes_of_job(log: JobLogWriter) -> None:
    """End the processes that a job has left running, and record them in the job's log and the worker's.

    Only in a process that adopts them: another one would end children of its own.
    """
    if not process_state.is_adopting():
        return
    try:
        ended = end_descendants()
    except OSError:
        # Without a free descriptor /proc cannot be read. This process is replaced, and its parent ends them.
        logger.warning("job.processes_not_ended", exc_info=True)
        return
    for process in ended:
        fields = {"left_pid": process.pid, "command": process.command}
        logger.warning("job.process_ended", extra=fields)
        log.add("A process that the job left running was ended.", "warning", fields)


def end_descendants() -> list[Process]:
    """End and reap every descendant of this process, within END_SECONDS; return those that were running."""
    found: dict[int, Process] = {}
    now = time.monotonic()
    kill_at, until = now + TERM_SECONDS, now + END_SECONDS
    own = _command_line(os.getpid())
    while not _reap_dead() and (now := time.monotonic()) < until:
        for process in descendants_of(os.getpid()):
            # A forked copy of this process would unwind our stack at SIGTERM, and use our connections.
            is_killed = now >= kill_at or _command_line(process.pid) == own
            if is_killed or process.pid not in found:
                send(process.pid, signal.SIGKILL if is_killed else signal.SIGTERM)
            found.setdefault(process.pid, process)
        time.sleep(_LOOK_SECONDS)
    return list(found.values())


class OrphanSweep:
    """A sweep that ends the processes that dead children of the pool have left to their parent."""

    def __init__(self) -> None:
        self._told: Set[int] = frozenset()

    def sweep(self, pids: Set[int]) -> None:
        """Kill these child processes and their descendants, and reap the dead; it does not wait for any."""
        for pid in pids:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    continue
            orphan = _read(pid)
            for process in [*([orphan] if orphan else []), *descendants_of(pid)]:
                send(process.pid, signal.SIGKILL)
                if pid not in self._told:
                    logger.warning("job.process_ended", extra={"left_pid": process.pid, "command": process.command})
        self._told = pids


def descendants_of(pid: int) -> list[Process]:
    """Return the running descendants of a process; a parent comes before its children."""
    children: defaultdict[int, list[Process]] = defaultdict(list)
    for name in os.listdir("/proc"):  # noqa: PTH208 - only the names
        if name.isdigit() and (process := _read(int(name))) is not None:
            children[process.parent].append(process)
    found = [*children[pid]]
    for process in found:  # it grows meanwhile
        found.extend(children[process.pid])
    return found


def children_of_parent() -> frozenset[int]:
    """Return the pids of this process's children, including dead ones that are not reaped.

    Only children of its first thread are listed, which starts all of them.
    """
    own = os.getpid()
    try:
        return frozenset(map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split()))
    except OSError:
        return frozenset()


def _reap_dead() -> bool:
    """Reap the dead children; return whether no child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, which may have ended."""
    with suppress(ProcessLookupError, PermissionError):  # setuid: owned by root
        os.kill(pid, number)


def _read(pid: int) -> Process | None:
    """Return a process; None if it has ended."""
    try:
        head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = rest.split()[:2]
    return None if state in _DEAD else Process(pid, int(parent), head.partition("(")[2])


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
