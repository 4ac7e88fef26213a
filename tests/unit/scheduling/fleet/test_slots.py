"""Default slots of a worker."""

from __future__ import annotations

import os

import pytest

from scheduling.fleet.slots import IO_SLOTS, default_slots


@pytest.mark.parametrize(
    ("processors", "machine_mib", "memory_mib", "slots"),
    [(8, 16_384, 1_024, 8), (8, 4_096, 1_024, 4), (8, 512, 1_024, 1)],
)
def test_slots_fit_processors_and_memory(
    monkeypatch: pytest.MonkeyPatch, processors: int, machine_mib: int, memory_mib: int, slots: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": machine_mib, "SC_PAGE_SIZE": 1 << 20}.__getitem__)
    assert default_slots(is_io=False, memory_mib=memory_mib) == slots
    assert default_slots(is_io=True, memory_mib=memory_mib) == IO_SLOTS
