"""Measurement of memory on the system that runs the tests."""

from __future__ import annotations

import os
import sys

import pytest

from scheduling.worker.memory import read_resident_kib
from scheduling.worker.process_state import read_peak_kib, reset_peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

MIB = 1024


def test_peak_is_that_of_the_current_job() -> None:
    before = read_resident_kib(os.getpid())
    assert before is not None
    big = bytearray(b"x") * (80 * 1024 * 1024)
    del big
    high = read_peak_kib()
    assert high is not None
    assert high >= before + 60 * MIB
    assert reset_peak()
    low = read_peak_kib()
    assert low is not None
    assert low <= high - 40 * MIB


def test_ended_process_has_no_memory() -> None:
    assert read_resident_kib(2**22 + 1) is None
