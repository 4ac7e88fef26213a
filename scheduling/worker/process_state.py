"""State of a process that runs jobs, from one job to the next: connection, memory peak, and what jobs leave behind.

Each child and the heartbeat keep one database connection. A pool's child adopts the orphans among its descendants, and
the worker's parent those of a child that died; a child that jobs have used up is replaced before another job begins.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, connections

from scheduling.execution.lost_sessions import session_name
from scheduling.sandbox.kernel import PR_SET_CHILD_SUBREAPER, prctl
from tenants.database.conf import APP_ALIAS

logger = logging.getLogger(__name__)

CONNECTION_ERRORS = (OperationalError, InterfaceError)
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 2.0
JITTER_SECONDS = 0.1

_RESET_PEAK = b"5"
# A reading of the peak stays valid for this long.
_FRESH_NS = 1_000_000

# A peak that has not risen is reset again after this long: memory that was freed since then must not count any more.
_STALE_NS = 1_000_000_000

# The process, peak and time of the last reset.
_forgotten: tuple[int, int, int] | None = None
# The file that resets it, by process id. It stays open: a non-dumpable process cannot open it (`memory.hide_child`).
_peak_file: tuple[int, int] | None = None
# The time and value of the last reading.
_read_at_ns, _read_kib = 0, 0

# The adopting process: a copy of it that a job forks has none of its duties.
_adopting_pid = 0
# The most descriptors that jobs may leave open in a child, or half of its limit.
MAX_DESCRIPTORS = 512
MAX_THREADS = 512
# It has one link a thread, and these.
_TASKS = Path("/proc/self/task")
_OTHER_LINKS = 2


def keep_connections() -> None:
    """Keep each database connection until it breaks, whatever its age: reconnecting takes longer than a small job."""
    # The connections of all threads and children read this one dictionary.
    connections[APP_ALIAS].settings_dict["CONN_MAX_AGE"] = None


def name_connections(worker_id: UUID) -> None:
    """Set the worker's name on the database sessions of this process and its children.

    A dispatcher ends the sessions of a lost worker by this name.
    """
    settings = connections[APP_ALIAS].settings_dict
    settings["OPTIONS"] = {**settings["OPTIONS"], "application_name": session_name(worker_id)}


def preconnect(**_: Any) -> None:
    """Connect a new child to the database, so that its first job need not; without a database that job tries again."""
    with suppress(*CONNECTION_ERRORS):
        connection.ensure_connection()


def check_connection() -> None:
    """Close a connection that an error left unusable, so that the next query opens a new one; called before a job."""
    connection.close_if_unusable_or_obsolete()


def drop_open_transaction() -> bool:
    """Roll back a transaction that a processor left open, and return whether there was one; called after a job.

    Django remembers the transaction even if its connection is closed, so a new connection replaces it at once; without
    a database the next query tries again. A closed connection has no open transaction.
    """
    # This thread's connection, looked up once: `connection` looks it up at each access.
    ours = connections[APP_ALIAS]
    if not ours.in_atomic_block and (ours.connection is None or ours.get_autocommit()):
        return False
    connection.close()
    with suppress(*CONNECTION_ERRORS), connection.wrap_database_errors:
        connection.connect()
    return True


def retry_on_disconnect[T](operation: Callable[[], T], *, give_up_after_seconds: float) -> T:
    """Call ``operation`` and return its result; after a database outage, call it again on a new connection.

    The pauses grow exponentially up to 2 s, with jitter. Raise the last error once ``give_up_after_seconds`` are over.
    Only repeat compare-and-set operations this way: repeating one whose commit succeeded changes nothing.
    """
    deadline = time.monotonic() + give_up_after_seconds
    backoff_seconds = FIRST_BACKOFF_SECONDS
    while True:
        try:
            return operation()
        except CONNECTION_ERRORS:
            connection.close()
            if time.monotonic() >= deadline:
                raise
        sleep(backoff_seconds + random.uniform(0, JITTER_SECONDS))  # noqa: S311 - jitter, no secret
        backoff_seconds = min(MAX_BACKOFF_SECONDS, backoff_seconds * 2)


def reset_peak() -> bool:
    """Reset the kernel's peak memory of this process; return whether that succeeded.

    If the peak has not risen since the last reset, and that was less than a second ago, nothing is done. Most short
    jobs do not raise it, and three system calls would be a noticeable part of a job of one millisecond. For the same
    reason a reading made less than a millisecond ago, at the end of the previous job, is reused.
    """
    global _forgotten  # noqa: PLW0603 - state of the process
    if _forgotten is not None:
        pid, peak_kib, reset_at_ns = _forgotten
        now_ns = time.monotonic_ns()
        is_recent = pid == os.getpid() and now_ns - reset_at_ns < _STALE_NS
        if is_recent and peak_kib == (_read_kib if now_ns - _read_at_ns < _FRESH_NS else read_peak_kib()):
            return True
    if not _forget_peak():
        return False
    _forgotten = (os.getpid(), read_peak_kib(), time.monotonic_ns())
    return True


def open_peak_file() -> int | None:
    """Open the file that resets this process's peak memory, once, and return its descriptor; None if that fails."""
    global _peak_file  # noqa: PLW0603 - state of the process
    if _peak_file is None or _peak_file[0] != os.getpid():
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError:
            return None
        # An inherited one is the parent's.
        if _peak_file is not None:
            os.close(_peak_file[1])
        _peak_file = (os.getpid(), descriptor)
    return _peak_file[1]


def _forget_peak() -> bool:
    descriptor = open_peak_file()
    try:
        return descriptor is not None and os.write(descriptor, _RESET_PEAK) == len(_RESET_PEAK)
    except OSError:
        return False


def read_peak_kib() -> int:
    """Return the peak resident memory of this process in KiB since `reset_peak`, accurate to a few pages."""
    return read_usage().ru_maxrss


def read_usage() -> resource.struct_rusage:
    """Return what this process has used; its peak memory counts since `reset_peak`."""
    global _read_at_ns, _read_kib
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _read_kib, _read_at_ns = usage.ru_maxrss, time.monotonic_ns()
    return usage


def adopt_orphans(**_: Any) -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    global _adopting_pid  # noqa: PLW0603 - state of the process
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    _adopting_pid = os.getpid()


def is_adopting() -> bool:
    """Return whether this process adopts orphans, and therefore ends what jobs leave behind."""
    return _adopting_pid == os.getpid()


def has_left_processes() -> bool:
    """Return whether jobs have left processes that this process has to end."""
    return is_adopting() and has_children()


def has_children() -> bool:
    """Return whether this process has a child, including dead ones that are not reaped; takes one system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


_most_descriptors = MAX_DESCRIPTORS


def note_limits(**_: Any) -> None:
    """Record the limit of open descriptors of a new child, before a job can lower it."""
    global _most_descriptors  # noqa: PLW0603 - state of the process
    soft_limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _most_descriptors = (
        MAX_DESCRIPTORS if soft_limit == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, soft_limit // 2)
    )


def is_exhausted() -> bool:
    """Return whether jobs have left so much in this child that it must be replaced, and log what."""
    if not is_adopting():
        return False
    descriptors, threads = _count_descriptors(), _TASKS.stat().st_nlink - _OTHER_LINKS
    if descriptors <= _most_descriptors and threads <= MAX_THREADS and not has_children():
        return False
    logger.warning(
        "child.exhausted", extra={"descriptors": descriptors, "threads": threads, "has_children": has_children()}
    )
    return True


def has_failed(error: Exception) -> bool:
    """Return whether a message failed because of this child's state, so that the next might too; log that.

    Errors of an unavailable database say nothing about the child, nor does a limit that affects the whole worker.
    """
    if not is_adopting() or isinstance(error, CONNECTION_ERRORS):
        return is_exhausted()
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return is_exhausted()
    logger.error("child.failed", exc_info=error)
    return True


def _count_descriptors() -> int:
    """Return a lower bound of the open descriptors: those below the lowest free one, which the kernel returns."""
    try:
        lowest = os.dup(0)
    except OSError:
        return sum(map(_is_open, range(2 * MAX_DESCRIPTORS)))
    os.close(lowest)
    return lowest


def _is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False
