"""Seccomp: lets a process make only the system calls that a parser needs; all others fail with EPERM.

Sockets, new processes, signals to other processes, tracing and changes of files are not allowed. Because it is a list
of allowed calls, calls of later kernels are forbidden too.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from scheduling.sandbox.kernel import PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, prctl

# Each call with its number on x86_64 and on aarch64.
_ALLOWED = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 lseek:8:62 close:3:57 dup:32:23
fstat:5:80 newfstatat:262:79 stat:4:- lstat:6:- statx:332:291 access:21:- faccessat:269:48 faccessat2:439:439
readlink:89:- readlinkat:267:78 getdents64:217:61 getcwd:79:17
munmap:11:215 mprotect:10:226 mremap:25:216 madvise:28:233 brk:12:214 mincore:27:232
rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 sigaltstack:131:132
futex:202:98 sched_yield:24:124 sched_getaffinity:204:123 membarrier:324:283
clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115 nanosleep:35:101 gettimeofday:96:169 time:201:-
getrusage:98:165 times:100:153 getrlimit:97:163 getrandom:318:278 uname:63:160 sysinfo:99:179
getpid:39:172 gettid:186:178 getppid:110:173 getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177
exit:60:93 exit_group:231:94 restart_syscall:219:128 poll:7:- ppoll:271:73 select:23:- pselect6:270:72
rseq:334:293 set_robust_list:273:99 set_tid_address:218:96 arch_prctl:158:-
"""
# Calls allowed for some arguments: the argument's position, a mask over its lower half, and the expected rest.
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MAP_SHARED = 0x01
_READS_DESCRIPTOR_FLAGS = 1, 2, 3  # F_GETFD, F_SETFD, F_GETFL
_EVERY_BIT = 0xFFFFFFFF

_LOAD, _AND, _JUMP_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_ALLOW, _KILL_PROCESS, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_MODE_FILTER = 2

type Condition = tuple[int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def restrict_calls() -> None:
    """Forbid this process, which must have a single thread, all calls outside the list; raise OSError if that fails."""
    instructions = build_filter(os.uname().machine, own_pid=os.getpid())
    program = _Program(len(instructions) // 8, instructions)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.cast(ctypes.byref(program), ctypes.c_void_p))


def build_filter(machine: str, *, own_pid: int) -> bytes:
    """Return the filter program for a machine's architecture; raise OSError if its system calls are not known."""
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"The system calls of {machine} are not known.")
    architecture, column = _ARCHITECTURES[machine]
    code = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, architecture, if_true=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    for call in _ALLOWED.split():
        if (number := call.split(":")[1 + column]) != "-":
            code += [_instruction(_JUMP_EQUAL, int(number), if_false=1), _instruction(_RETURN, _ALLOW)]
    for numbers, conditions in _conditional(own_pid):
        if (conditional := numbers[column]) is not None:
            code += _if_arguments(conditional, conditions)
    code.append(_instruction(_RETURN, _FAIL | errno.EPERM))
    return b"".join(code)


def _conditional(own_pid: int) -> list[tuple[tuple[int | None, int | None], tuple[Condition, ...]]]:
    open_, openat, mmap, fcntl, prlimit, tgkill = (2, None), (257, 56), (9, 222), (72, 25), (302, 261), (234, 131)
    return [
        (open_, ((1, _WRITING, 0),)),
        (openat, ((2, _WRITING, 0),)),
        # A shared mapping of the input could be written.
        (mmap, ((3, _MAP_SHARED, 0),)),
        # Other commands make a pipe send signals to any process of the account.
        *[(fcntl, ((1, _EVERY_BIT, command),)) for command in _READS_DESCRIPTOR_FLAGS],
        # Reads its own limits: the address of new limits must be 0, of which only the lower half is tested.
        (prlimit, ((0, _EVERY_BIT, 0), (2, _EVERY_BIT, 0))),
        # abort() of a native library.
        (tgkill, ((0, _EVERY_BIT, own_pid),)),
    ]


def _if_arguments(number: int, conditions: tuple[Condition, ...]) -> list[bytes]:
    """Return instructions that allow the call if all conditions hold, and else go on with the number loaded again."""
    tests: list[bytes] = []
    # After the tests: allow, then reload the number, to which every failing test jumps.
    for index, (place, mask, value) in enumerate(conditions):
        remaining = 3 * (len(conditions) - index - 1)
        tests += [
            _instruction(_LOAD, _ARGUMENTS_AT + 8 * place),
            _instruction(_AND, mask),
            _instruction(_JUMP_EQUAL, value, if_false=remaining + 1),
        ]
    body = [*tests, _instruction(_RETURN, _ALLOW), _instruction(_LOAD, _NUMBER_AT)]
    return [_instruction(_JUMP_EQUAL, number, if_false=len(body)), *body]


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
