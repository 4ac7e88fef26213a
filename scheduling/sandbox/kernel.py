"""System calls that Python's standard library does not wrap."""

from __future__ import annotations

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """Return the result of a C library call; raise OSError with its errno if the result is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(option: int, *values: int | ctypes.c_void_p) -> None:
    """Call prctl(2) with unsigned long arguments; raise OSError if the kernel refuses."""
    padded = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in (*values, 0, 0, 0, 0)[:4]]
    checked(LIBC.prctl(option, *padded))


def set_dumpable(*, is_dumpable: bool) -> None:
    """Allow or forbid other processes of the same user to read /proc/PID/{environ,mem,…} of this process.

    Forked children inherit the state. A process that executes a new program is readable again.
    """
    prctl(PR_SET_DUMPABLE, int(is_dumpable))
