"""Sandbox of this process, with a self-test. Run as a module, it prints the protections that this machine offers."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from scheduling.sandbox.kernel import LIBC
from scheduling.sandbox.landlock import restrict_files
from scheduling.sandbox.seccomp import restrict_calls

_AF_INET, _SOCK_STREAM = 2, 1
# Shared libraries, besides those of the interpreter.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


# Without these, a compromised process can read tenants' files or send data away.
REQUIRED = ("network", "files")


@dataclass(frozen=True, slots=True)
class SandboxLayers:
    """Sandbox layers that the kernel accepted, and the protections that the self-test verified."""

    layers: tuple[str, ...]
    protections: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the required protections that this process does not have."""
        return missing_of(self.protections)


def missing_of(protections: Collection[str]) -> tuple[str, ...]:
    """Return the required protections that are not in ``protections``."""
    return tuple(name for name in REQUIRED if name not in protections)


def enter(packages: Sequence[str]) -> SandboxLayers:
    """Enter every sandbox layer that the kernel offers, and test each protection; return the layers and protections.

    This cannot be undone. Modules can still be imported from the standard library, site-packages and ``packages``.
    """
    layers: list[str] = []
    for name, take in _layers(packages).items():
        # A missing layer is no error here: the self-test decides.
        with suppress(OSError):
            take()
            layers.append(name)
    return SandboxLayers(tuple(layers), tuple(name for name, tests in _TESTS.items() if all(map(_is_refused, tests))))


def _layers(packages: Sequence[str]) -> dict[str, Callable[[], None]]:
    # Landlock first: seccomp refuses its calls.
    return {"landlock": lambda: restrict_files(_readable(packages)), "seccomp": restrict_calls}


def _readable(packages: Sequence[str]) -> list[str]:
    standard = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib takes its time to import
    sites = [path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))]
    return [standard, os.path.dirname(standard), *sites, *packages, *_LIBRARIES]  # noqa: PTH120


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _open(path: str, flags: int) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags))


def _connectable() -> None:
    descriptor = LIBC.socket(_AF_INET, _SOCK_STREAM, 0)
    if descriptor == -1:
        raise OSError(ctypes.get_errno(), "socket")
    os.close(descriptor)


def _fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


_TESTS: dict[str, tuple[Callable[[], object], ...]] = {
    "network": (_connectable,),
    "files": (_open("/", os.O_RDONLY), _open("/etc/passwd", os.O_RDONLY), _open("/proc/self/environ", os.O_RDONLY)),
    "writing": (_open("/dev/null", os.O_WRONLY),),
    "processes": (_fork, lambda: os.kill(os.getppid(), 0)),
}


if __name__ == "__main__":
    held = enter(())
    sys.stdout.write(json.dumps([held.layers, held.protections]))
