"""Costs of an execution beside its slot time: processor time, peak memory, and bytes of storage."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from scheduling.worker import process_state

# The kernel counts blocks of this size in `getrusage`, whatever the file system's are.
BLOCK_BYTES = 512
_KERNEL_CLOCK = 2


@dataclass(frozen=True, slots=True)
class Costs:
    """What an execution used beside its slot; each is None if it was not measured.

    ``cpu_us`` is processor time in microseconds, of its process with all threads and of the processes that it started
    and that have ended. ``io_bytes`` are the bytes that these read from storage and wrote to it: neither what the page
    cache answered, nor the network. ``peak_memory_kib`` is the peak resident memory of its process alone.
    """

    cpu_us: int | None = None
    peak_memory_kib: int | None = None
    io_bytes: int | None = None


UNKNOWN = Costs()


class CostMeter:
    """A measurement of this process from its creation; one execution runs in a process at a time."""

    def __init__(self) -> None:
        self._is_peak_known = process_state.reset_peak()
        self._cpu_us, self._io_bytes = _sums(resource.getrusage(resource.RUSAGE_SELF))

    def read(self) -> Costs:
        """Return what was used since the creation of this meter."""
        usage = process_state.read_usage()
        cpu_us, io_bytes = _sums(usage)
        peak_kib = usage.ru_maxrss if self._is_peak_known else None
        return Costs(max(0, cpu_us - self._cpu_us), peak_kib, max(0, io_bytes - self._io_bytes))


def read_cpu_us(pid: int) -> int | None:
    """Return the processor time of a process in microseconds; None if it is gone.

    The clock's id is that of ``clock_getcpuclockid(3)``.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _KERNEL_CLOCK) // 1_000
    except OSError:
        return None


def _sums(own: resource.struct_rusage) -> tuple[int, int]:
    """Return the microseconds and bytes of this process, whose usage is ``own``, and of its ended children."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    blocks = own.ru_inblock + own.ru_oublock + ended.ru_inblock + ended.ru_oublock
    return int(seconds * 1e6), blocks * BLOCK_BYTES
