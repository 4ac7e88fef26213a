"""The number of slots of a worker that is given none: by the class of its pool and by its machine."""

from __future__ import annotations

import os

# Slots of an I/O pool wait, so their number does not depend on the processors.
IO_SLOTS = 100


def default_slots(*, is_io: bool, memory_mib: int) -> int:
    """Return the slots of a worker on this machine, whose children need ``memory_mib`` each.

    A slot has a processor, and a child its memory: the processors that this process may use, or as many as the memory
    of the machine is enough for. At least one.
    """
    if is_io:
        return IO_SLOTS
    machine_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return max(1, min(len(os.sched_getaffinity(0)), machine_mib // memory_mib))
