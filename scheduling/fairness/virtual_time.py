"""Virtual time: slot time divided by weight, in integers.

A microsecond of slot time at weight 1 is 1,000 units, so a 64-bit column holds centuries of a
busy pool, and shares of small jobs at large weights do not drown in rounding.
"""

from __future__ import annotations

UNITS_PER_MICROSECOND = 1_000
MILLI = 1_000


def virtual_service(cost_us: int, weight_milli: int) -> int:
    """Virtual time that ``cost_us`` of slot time adds at weight ``weight_milli`` / 1000."""
    return cost_us * UNITS_PER_MICROSECOND * MILLI // weight_milli


def corrected(vruntime: int, *, predicted_us: int, measured_us: int, weight_milli: int) -> int:
    """``vruntime`` after its charge at dispatch is replaced by the measured one."""
    return vruntime - virtual_service(predicted_us, weight_milli) + virtual_service(measured_us, weight_milli)


def rejoined(vruntime: int, parent_virtual_time: int) -> int:
    """Start of one who returns to eligibility: time spent away earns no credit."""
    return max(vruntime, parent_virtual_time)
