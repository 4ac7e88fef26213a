"""Measured costs of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from scheduling.execution.costs import CostMeter, read_cpu_us

MIB = 1 << 20


def spin(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_meter_counts_processor_time_and_not_waiting() -> None:
    meter = CostMeter()
    time.sleep(0.05)
    waited = meter.read().cpu_us
    spin(0.1)
    used = meter.read().cpu_us
    assert waited is not None
    assert used is not None
    assert waited < 40_000
    assert used >= waited + 90_000


def test_meter_counts_ended_processes() -> None:
    meter = CostMeter()
    subprocess.run([sys.executable, "-c", "for i in range(3_000_000): pass"], check=True)
    used = meter.read().cpu_us
    assert used is not None
    assert used > 20_000


def test_meter_counts_bytes_written_to_storage() -> None:
    meter = CostMeter()
    path = Path(__file__).parent / f"written-{os.getpid()}"
    try:
        with path.open("wb") as file:
            file.write(os.urandom(4 * MIB))
            file.flush()
            os.fsync(file.fileno())
        written = meter.read().io_bytes
    finally:
        path.unlink()
    assert written is not None
    assert 4 * MIB <= written < 8 * MIB


def test_processor_time_of_a_process_is_read_from_outside() -> None:
    own = read_cpu_us(os.getpid())
    assert own is not None
    assert abs(own - time.process_time_ns() // 1_000) < 100_000


def test_processor_time_of_a_reaped_process_is_unknown() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read_cpu_us(child.pid) is None
