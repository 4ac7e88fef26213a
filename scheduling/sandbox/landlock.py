"""Landlock: lets a process open only files below given paths, and only for reading."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from scheduling.sandbox.kernel import LIBC, PR_SET_NO_NEW_PRIVS, checked, prctl

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
# Number of file rights in each version of the interface; later versions add to these.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_FILE_RIGHTS = 16
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
# Bind and connect by TCP; abstract Unix sockets and signals to processes outside.
_TCP, _SCOPES = 0b11, 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock in this kernel; raise OSError if it has none."""
    return checked(LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION))


def restrict_files(readable: Iterable[str]) -> None:
    """Forbid this process all files except those at or below ``readable``; raise OSError if the kernel cannot.

    Files that are open stay open. Paths that do not exist are skipped.
    """
    supported = version()
    rights = (1 << _FILE_RIGHTS.get(supported, _NEWEST_FILE_RIGHTS)) - 1
    ruleset = _Ruleset(rights, _TCP if supported >= _NETWORK_SINCE else 0, _SCOPES if supported >= _SCOPES_SINCE else 0)
    # An older kernel accepts the larger structure if its unknown part is 0.
    handle = checked(LIBC.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0))
    try:
        for path in readable:
            _allow_reading(handle, path)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        checked(LIBC.syscall(_RESTRICT_SELF, handle, 0))
    finally:
        os.close(handle)


def _allow_reading(handle: int, path: str) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        is_directory = stat.S_ISDIR(os.fstat(parent).st_mode)
        rule = _PathBeneath(_READ_FILE | (_READ_DIRECTORY if is_directory else 0), parent)
        checked(LIBC.syscall(_ADD_RULE, handle, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(parent)
