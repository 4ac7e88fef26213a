"""Extraction child with a compromised reader, which runs the attack named in its input.

`extract_file` runs it instead of the real child, under the real limits and sandbox. The one block that it returns is
the result of the attack, or the name of the error that stopped it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction import child

_LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH = 16


def _call(function: Any, *values: Any) -> str:
    if function(*values) == -1:
        raise OSError(ctypes.get_errno(), function.__name__)
    return "done"


def _read(path: str) -> str:
    with Path(path).open("rb") as file:
        file.read(1)
    return f"read {path}"


def _connect(address: list[Any]) -> str:
    socket.create_connection((address[0], address[1]), timeout=5).close()
    return "connected"


def _send_datagram(address: list[Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"secret", (address[0], address[1]))
    return "sent"


def _create(path: str) -> str:
    Path(path).touch()
    return "created"


def _delete(path: str) -> str:
    Path(path).unlink()
    return "deleted"


def _rename(path: str) -> str:
    Path(path).rename(path + ".moved")
    return "renamed"


def _fork(_: None) -> str:
    if os.fork() == 0:
        os._exit(0)
    return "forked"


def _execute(_: None) -> str:
    os.execv("/bin/true", ["true"])


def _kill_parent(_: None) -> str:
    os.kill(os.getppid(), signal.SIGURG)
    return "signalled"


def _own_pipe(_: None) -> str:
    fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())
    return "owner set"


def _trace_parent(_: None) -> str:
    return _call(_LIBC.ptrace, _PTRACE_ATTACH, os.getppid(), None, None)


def _read_memory_of_parent(_: None) -> str:
    return _call(
        _LIBC.process_vm_readv, os.getppid(), None, ctypes.c_ulong(0), None, ctypes.c_ulong(0), ctypes.c_ulong(0)
    )


def _raise_limits(_: None) -> str:
    return _call(_LIBC.setrlimit, resource.RLIMIT_CPU, (ctypes.c_ulong * 2)(10_000, 10_000))


def _limit_parent(_: None) -> str:
    resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))
    return "set"


def _write_input(_: None) -> str:
    with mmap.mmap(0, 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as shared:
        shared[0:1] = b"!"
    return "written"


def _show_environment(_: None) -> str:
    return json.dumps(dict(os.environ))


_ATTACKS: dict[str, Callable[[Any], str]] = {
    "read": _read,
    "read of parent": lambda name: _read(f"/proc/{os.getppid()}/{name}"),
    "connect": _connect,
    "send datagram": _send_datagram,
    "create": _create,
    "delete": _delete,
    "rename": _rename,
    "fork": _fork,
    "execute": _execute,
    "kill parent": _kill_parent,
    "own pipe": _own_pipe,
    "trace parent": _trace_parent,
    "read memory of parent": _read_memory_of_parent,
    "raise limits": _raise_limits,
    "limit parent": _limit_parent,
    "write input": _write_input,
    "show environment": _show_environment,
}


def _attack(data: bytes, facts: Facts) -> Iterator[Block]:
    order = json.loads(data)
    try:
        got = _ATTACKS[order["attack"]](order["on"])
    except OSError as error:
        got = type(error).__name__
    yield Block(got)


if __name__ == "__main__":
    child.reader_of = lambda content_type: _attack
    sys.exit(child.main(sys.argv[1:]))
