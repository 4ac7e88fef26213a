"""The ETA's band over five loads in simulated time."""

from __future__ import annotations

from pathlib import Path

from benchmarks.eta import measure_loads


def test_four_of_five_starts_are_within_the_band_of_each_load(tmp_path: Path) -> None:
    findings = measure_loads(tmp_path)
    assert len(findings) == 5
    assert [finding for finding in findings if not finding.is_met] == []
