"""The table of the fair scheduler's numbers: what it says of parts that a run left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fair import kept
from benchmarks.fair.kept import Measured, keep_measured, read_measured
from benchmarks.fair.parts import Finding
from benchmarks.fair.table import PARTS, draw_table

FINDING = Finding("jobs a second", "≥ 1", "2", is_met=True, beside="2 slots")
MISSED = Finding("jobs a second", "≥ 3", "2", is_met=False, beside="2 slots")


def measured(finding: Finding = FINDING, date: str = "2026-01-02") -> Measured:
    return Measured(date, "a machine", 0.5, [finding])


@pytest.fixture
def everything() -> dict[str, Measured]:
    return {part.name: measured() for part in PARTS}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "FILE", tmp_path / "fairness.json")
    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    monkeypatch.setattr(kept, "describe_machine", lambda: "a machine")
    return tmp_path


def test_a_table_of_all_parts_is_met_when_every_row_is(everything: dict[str, Measured]) -> None:
    assert draw_table(everything, is_met=True).verdict == "met"


def test_a_table_with_a_missed_row_says_how_many(everything: dict[str, Measured]) -> None:
    everything["idle"] = measured(MISSED)
    assert draw_table(everything, is_met=True).verdict == f"missed by 1 of {len(PARTS)} rows"


def test_a_table_without_a_part_is_not_met_and_names_it(everything: dict[str, Measured]) -> None:
    del everything["idle"]
    outcome = draw_table(everything, is_met=True)
    assert outcome.verdict == "not measured: idle"
    assert ["idle", "–", "not measured", "–", "–", "not measured"] in outcome.rows


def test_each_row_bears_the_date_of_its_own_run(everything: dict[str, Measured]) -> None:
    everything["idle"] = measured(MISSED, date="2026-03-04")
    outcome = draw_table(everything, is_met=True)
    assert [*MISSED.cells()[:4], "2026-03-04", "**missed**"] in outcome.rows
    assert "on 2026-03-04 idle, with a load of 0.5 before" in outcome.measured_on


@pytest.mark.usefixtures("results")
def test_a_run_of_one_part_keeps_what_others_found() -> None:
    keep_measured("jain", [FINDING])
    keep_measured("idle", [FINDING])
    keep_measured("idle", [MISSED])
    found = read_measured()
    assert found["jain"].findings == [FINDING]
    assert found["idle"].findings == [MISSED]


@pytest.mark.usefixtures("results")
def test_nothing_is_known_before_the_first_run() -> None:
    assert read_measured() == {}
