"""User that the servers run as. PostgreSQL refuses to run as root, so root must start it with another identity.

There are three ways: a user namespace in which root appears as uid 65534 (files stay root's, so nothing is copied); the
real uid 65534 with copied programs, if the kernel refuses a namespace; and the caller itself if it is not root.
"""

import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from jobsplatform.embedded.binaries import Program

UNPRIVILEGED_ID = 65534
_PR_SET_PDEATHSIG = 1


class ServerUser(StrEnum):
    """Way to give a server process an identity that PostgreSQL accepts."""

    CALLER = "caller"
    NAMESPACE = "namespace"
    UNPRIVILEGED = "unprivileged"


def choose_server_user() -> ServerUser:
    """Return the cheapest way that works: the caller's own identity, unless it is root or has no user name."""
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return ServerUser.CALLER
    try:
        subprocess.run(  # noqa: S603 - asks the kernel, by doing nothing in a namespace
            [shutil.which("true") or "/bin/true"],
            preexec_fn=_namespace_entrance(),
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return ServerUser.UNPRIVILEGED if os.geteuid() == 0 else ServerUser.CALLER
    return ServerUser.NAMESPACE


def _has_name(user_id: int) -> bool:
    """Return whether the user is in the password file, which initdb requires."""
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        return False
    return True


def _namespace_entrance() -> Callable[[], None]:
    """Return a function that moves the calling process to a user namespace in which it has uid and gid 65534."""
    user_id, group_id = os.geteuid(), os.getegid()

    def enter() -> None:
        os.unshare(os.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{UNPRIVILEGED_ID} {user_id} 1")
        Path("/proc/self/gid_map").write_text(f"{UNPRIVILEGED_ID} {group_id} 1")

    return enter


def _become_nobody() -> None:
    """Give up root in this process for good."""
    os.setgroups([])
    os.setgid(UNPRIVILEGED_ID)
    os.setuid(UNPRIVILEGED_ID)


def die_with_parent(death_signal: signal.Signals) -> None:
    """Make the kernel send this signal to this process when its parent ends, for whatever reason. Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def before_exec(identity: ServerUser, death_signal: signal.Signals) -> Callable[[], None]:
    """Return the function that a forked child must run before it executes the server program."""

    enter_namespace = _namespace_entrance()

    def prepare() -> None:
        if identity is ServerUser.NAMESPACE:
            enter_namespace()
        elif identity is ServerUser.UNPRIVILEGED:
            _become_nobody()
        # After the change of identity: the kernel clears the death signal when credentials change.
        die_with_parent(death_signal)

    return prepare


def is_reachable_by_all(folder: Path) -> bool:
    """Return whether every user may enter the folder and all its parents."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (folder, *folder.parents))


def copy_for_user(identity: ServerUser, program: Program, folder: Path) -> Program:
    """Return the program at a path where the identity can run it; copy it to `folder` if necessary."""
    if identity is not ServerUser.UNPRIVILEGED:
        return program
    copy = folder / program.executable.name
    if not copy.exists():
        for part in program.parts:
            shutil.copytree(program.root / part, copy / part, symlinks=True)
        for path in (folder, copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return program.within(copy)


def change_owner(identity: ServerUser, path: Path) -> None:
    """Make the identity the owner of the path, if it is another user."""
    if identity is ServerUser.UNPRIVILEGED:
        os.chown(path, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
