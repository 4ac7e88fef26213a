"""The filter of system calls, run by an interpreter of its instructions, for both architectures."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence

import pytest

from scheduling.sandbox.seccomp import build_filter

OWN_PID = 4_711
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Numbers of calls, as in the kernel's headers.
NUMBERS = {
    "x86_64": {
        "read": 0, "openat": 257, "mmap": 9, "fcntl": 72, "prlimit64": 302, "tgkill": 234, "socket": 41, "connect": 42,
        "clone": 56, "clone3": 435, "execve": 59, "kill": 62, "ptrace": 101, "unlinkat": 263, "renameat2": 316,
        "process_vm_readv": 310, "io_uring_setup": 425, "prctl": 157, "seccomp": 317, "setrlimit": 160, "ioctl": 16,
    },
    "aarch64": {
        "read": 63, "openat": 56, "mmap": 222, "fcntl": 25, "prlimit64": 261, "tgkill": 131, "socket": 198,
        "connect": 203, "clone": 220, "clone3": 435, "execve": 221, "kill": 129, "ptrace": 117, "unlinkat": 35,
        "renameat2": 276, "process_vm_readv": 270, "io_uring_setup": 425, "prctl": 167, "seccomp": 277,
        "setrlimit": 164, "ioctl": 29,
    },
}  # fmt: skip
CASES: list[tuple[str, Sequence[int], int]] = [
    ("read", (), ALLOW),
    ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC), ALLOW),
    ("openat", (0, 0, os.O_WRONLY), FAIL),
    ("openat", (0, 0, os.O_RDWR), FAIL),
    ("openat", (0, 0, os.O_RDONLY | os.O_CREAT), FAIL),
    ("openat", (0, 0, os.O_RDONLY | os.O_TRUNC), FAIL),
    ("mmap", (0, 0, 3, 0x22), ALLOW),
    ("mmap", (0, 0, 3, 0x01), FAIL),
    ("mmap", (0, 0, 3, 0x03), FAIL),
    ("fcntl", (0, 1), ALLOW),
    ("fcntl", (0, 8), FAIL),
    ("fcntl", (0, 10), FAIL),
    ("prlimit64", (0, 7, 0), ALLOW),
    ("prlimit64", (0, 7, 4_096), FAIL),
    ("prlimit64", (1, 7, 0), FAIL),
    ("tgkill", (OWN_PID, 1, 6), ALLOW),
    ("tgkill", (OWN_PID + 1, 1, 6), FAIL),
    *[
        (name, (), FAIL)
        for name in (
            "socket", "connect", "clone", "clone3", "execve", "kill", "ptrace", "unlinkat", "renameat2",
            "process_vm_readv", "io_uring_setup", "prctl", "seccomp", "setrlimit", "ioctl",
        )
    ],
]  # fmt: skip


def run(instructions: bytes, architecture: int, number: int, arguments: Sequence[int]) -> int:
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    code = list(struct.iter_unpack("<HBBI", instructions))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(operation)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("call", "arguments", "verdict"), CASES)
def test_call_has_its_verdict(machine: str, call: str, arguments: Sequence[int], verdict: int) -> None:
    instructions = build_filter(machine, own_pid=OWN_PID)
    assert run(instructions, ARCHITECTURES[machine], NUMBERS[machine][call], arguments) == verdict


def test_call_of_another_architecture_ends_the_process() -> None:
    assert run(build_filter("x86_64", own_pid=OWN_PID), 0x40000003, 0, ()) == KILL


def test_call_with_the_bit_of_the_x32_interface_is_refused() -> None:
    assert run(build_filter("x86_64", own_pid=OWN_PID), ARCHITECTURES["x86_64"], 0x40000000, ()) == FAIL


def test_filter_for_unknown_machine_raises() -> None:
    with pytest.raises(OSError, match="riscv64"):
        build_filter("riscv64", own_pid=OWN_PID)
