"""Harness of the benchmarks: the table of all parts, and the stored results of parts that a run omits."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import runner
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from benchmarks.harness.runner import Measured, draw_table, keep_measured, read_measured, run_benchmark

FINDING = Finding("jobs per second", "≥ 1", "2", is_met=True, beside="2 slots")
MISSED = Finding("jobs per second", "≥ 3", "2", is_met=False)
SIMULATED = Finding("p95 wait", "≤ 3 s", "2 s", is_met=True, simulated="1 s")


def fail(folder: Path) -> list[Finding]:
    raise RuntimeError(f"No slots|in {folder.name}.")


BENCHMARK = Benchmark(
    name="sample",
    title="A sample",
    parts=(Part("drain", 1.0, lambda folder: [FINDING]), Part("idle", 1.0, lambda folder: [SIMULATED])),
    method="On this machine.",
)


def measured(finding: Finding = FINDING, date: str = "2026-01-02") -> Measured:
    return Measured(date, "a machine", 0.5, [finding])


@pytest.fixture
def everything() -> dict[str, Measured]:
    return {part.name: measured() for part in BENCHMARK.parts}


@pytest.fixture
def cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows each time the platform is cleared; results are written to a folder of the test."""
    calls: list[str] = []
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(runner, "describe_machine", lambda: "a machine")
    monkeypatch.setattr(runner, "clear_platform", lambda: calls.append("cleared"))
    return calls


def test_table_of_all_parts_is_met_when_every_row_is(everything: dict[str, Measured]) -> None:
    outcome = draw_table(BENCHMARK, everything, is_met=True)
    assert outcome.verdict == "met"
    assert outcome.method == "On this machine.\n\n- jobs per second: 2 slots.\n- jobs per second: 2 slots."


def test_table_with_a_missed_row_has_the_number_of_missed_rows(everything: dict[str, Measured]) -> None:
    everything["idle"] = measured(MISSED)
    assert draw_table(BENCHMARK, everything, is_met=True).verdict == "missed by 1 of 2 rows"


def test_table_without_a_part_is_not_met_and_names_it(everything: dict[str, Measured]) -> None:
    del everything["idle"]
    outcome = draw_table(BENCHMARK, everything, is_met=True)
    assert outcome.verdict == "not measured: idle"
    assert ["idle", "–", "not measured", "–", "not measured"] in outcome.rows


def test_row_has_the_date_of_its_own_run(everything: dict[str, Measured]) -> None:
    everything["idle"] = measured(MISSED, date="2026-03-04")
    outcome = draw_table(BENCHMARK, everything, is_met=True)
    assert ["jobs per second", "≥ 3", "2", "2026-03-04", "**missed**"] in outcome.rows
    assert "on 2026-03-04 idle, with a load of 0.5 before" in outcome.measured_on


def test_simulated_column_is_drawn_only_if_a_row_has_one(everything: dict[str, Measured]) -> None:
    assert "simulated" not in draw_table(BENCHMARK, everything, is_met=True).rows[0]
    everything["idle"] = measured(SIMULATED)
    rows = draw_table(BENCHMARK, everything, is_met=True).rows
    assert rows[0][3] == "simulated"
    assert [row[3] for row in rows[1:]] == ["–", "1 s"]


def test_run_of_one_part_keeps_findings_of_other_parts(cleared: list[str], tmp_path: Path) -> None:
    keep_measured("sample", "drain", [MISSED])
    outcome = run_benchmark(BENCHMARK, tmp_path, only=["idle"])
    assert outcome.is_met
    assert outcome.verdict == "missed by 1 of 2 rows"
    assert {name: part.findings for name, part in read_measured("sample").items()} == {
        "drain": [MISSED],
        "idle": [SIMULATED],
    }
    assert len(cleared) == 1


@pytest.mark.usefixtures("cleared")
def test_part_that_fails_is_a_missed_row(tmp_path: Path) -> None:
    failing = Benchmark("failing", "A failing one", (Part("flood", 1.0, fail), BENCHMARK.parts[1]), "")
    outcome = run_benchmark(failing, tmp_path)
    assert not outcome.is_met
    assert [row[0] for row in outcome.rows[1:]] == ["flood", "p95 wait"]
    assert outcome.rows[1][2] == "No slots/in flood."


@pytest.mark.usefixtures("cleared")
def test_stored_measurements_are_empty_before_the_first_run() -> None:
    assert read_measured("sample") == {}


def test_row_compares_its_value_with_the_limit() -> None:
    assert at_most("p95", 24.96, 25.0, ".1f ms", "2 slots") == Finding(
        "p95", "≤ 25 ms", "25.0 ms", is_met=True, beside="2 slots"
    )
    assert at_most("gain", 0.031, 0.03, "+.2%") == Finding("gain", "≤ 3%", "+3.10%", is_met=False)
    assert at_least("rate", 4_999.6, 5_000, ",.0f jobs/s", note=" in all").measured == "5,000 jobs/s in all"
    assert not at_least("rate", 4_999.6, 5_000, ",.0f").is_met
    assert at_most("ratio", 1.2, 1.25, ".2f×", simulated="1×") == Finding(
        "ratio", "≤ 1.25×", "1.20×", is_met=True, simulated="1×"
    )


def test_row_without_target_has_verdict_shown() -> None:
    assert shown("rate", "2 jobs/s").verdict == "shown"
