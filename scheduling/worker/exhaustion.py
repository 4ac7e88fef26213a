"""Whether jobs have used up the process that runs them: it is replaced before another job begins in it."""

from __future__ import annotations

import errno
import logging
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

from scheduling.worker.connections import CONNECTION_ERRORS
from scheduling.worker.leftovers import has_children, is_adopting

logger = logging.getLogger(__name__)

# What a child of the pool may keep from its jobs: so many descriptors, or half of those that it may have.
MAX_DESCRIPTORS = 512
MAX_THREADS = 512
# It has one link a thread, and these.
_TASKS = Path("/proc/self/task")
_OTHER_LINKS = 2

_most_descriptors = MAX_DESCRIPTORS


def note_limits(**_: Any) -> None:
    """In a new child: note how many descriptors it may have. Who lowers the limit of all later is no job."""
    global _most_descriptors  # noqa: PLW0603 - the process's
    soft_limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _most_descriptors = (
        MAX_DESCRIPTORS if soft_limit == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, soft_limit // 2)
    )


def is_exhausted() -> bool:
    """Return whether this child of the pool has to be replaced, and log why."""
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
    """Return whether a message failed by the state of this child, so that each one which comes here might, and log it.

    What a database that is away raises says nothing of the child, nor does a limit that stops the whole worker.
    """
    if not is_adopting() or isinstance(error, CONNECTION_ERRORS):
        return is_exhausted()
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return is_exhausted()
    logger.error("child.failed", exc_info=error)
    return True


def _count_descriptors() -> int:
    """Return how many descriptors are open at least: those below the lowest that is free, which the kernel gives."""
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
