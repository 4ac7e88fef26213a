"""Kernel calls that Python does not wrap."""

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
    """Return the result of a call into the C library; raise OSError if it is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(option: int, *values: int | ctypes.c_void_p) -> None:
    """Call prctl(2) with unsigned long arguments; raise OSError if the kernel refuses."""
    padded = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in (*values, 0, 0, 0, 0)[:4]]
    checked(LIBC.prctl(option, *padded))


def set_dumpable(*, is_dumpable: bool) -> None:
    """Close or open /proc/PID/{environ,mem,…} of this process to other processes of its account.

    Forked children inherit the state. An executed program starts open.
    """
    prctl(PR_SET_DUMPABLE, int(is_dumpable))
