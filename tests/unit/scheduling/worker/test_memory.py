"""Measurement of memory on the system that runs the tests."""

from __future__ import annotations

import os
import sys

import pytest

from scheduling.worker import process_state
from scheduling.worker.memory import read_resident_kib
from scheduling.worker.process_state import read_peak_kib, reset_peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

MIB = 1024


def test_peak_is_that_of_the_current_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_state, "_STALE_NS", 0)
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


def test_memory_freed_during_a_job_does_not_count_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_state, "_STALE_NS", 0)
    big = bytearray(b"x") * (80 * 1024 * 1024)
    assert reset_peak()
    high = read_peak_kib()
    del big
    assert reset_peak()
    assert read_peak_kib() <= high - 40 * MIB


def test_peak_that_did_not_rise_is_not_reset_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    big = bytearray(b"x") * (80 * 1024 * 1024)
    assert reset_peak()
    high = read_peak_kib()
    del big
    monkeypatch.setattr(process_state, "_STALE_NS", 2**62)
    assert reset_peak()
    assert read_peak_kib() == high


def test_ended_process_has_no_memory() -> None:
    assert read_resident_kib(2**22 + 1) is None
