"""The table of a chaos run: what it says of failures, of rows that were not run, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.report import Kept, RowResult, draw_table, print_report, read_kept, record_report, write_kept
from tests.chaos.results import Results, Run, read_results, write_results
from tests.chaos.row import bound_factor
from tests.chaos.rows import ROWS
from tests.chaos.variables import FACTOR_VARIABLE

GOOD = Run(7, [1.0, 2.0, 9.0], [], jobs=20, seconds=30.0)
BAD = Run(8, [20.0], ["I3 caps: tenant 1 ran 3"], jobs=20, seconds=30.0)


def result(*runs: Run, name: str = "W1") -> RowResult:
    return RowResult(ROWS[name], runs, 60.0, "a machine")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(FACTOR_VARIABLE, raising=False)
    monkeypatch.setattr(report, "FILE", tmp_path / "chaos.json")
    monkeypatch.setattr("benchmarks.harness.outcome.RESULTS", tmp_path)
    return tmp_path


def test_a_row_is_told_with_its_failures_and_recoveries() -> None:
    kept = Kept.of(result(GOOD, BAD))
    assert (kept.failures, kept.p50_seconds, kept.greatest_seconds, list(kept.seeds)) == (1, 2.0, 20.0, [7, 8])


def test_a_row_without_recoveries_has_none() -> None:
    kept = Kept.of(result(Run(7, violations=["not run"])))
    assert (kept.failures, kept.p50_seconds, kept.greatest_seconds) == (1, None, None)


def test_the_verdict_counts_broken_runs_and_names_rows_that_were_not_run() -> None:
    outcome = draw_table({"W1": Kept.of(result(GOOD, BAD))})
    assert not outcome.is_met
    assert outcome.verdict.startswith("1 of 2 runs broke a promise; not run: W2, W3")
    assert [row[0] for row in outcome.rows] == ["id", "W1"]


def test_the_verdict_is_met_when_all_rows_were_run_without_a_violation() -> None:
    outcome = draw_table({name: Kept.of(result(GOOD, name=name)) for name in ROWS})
    assert outcome.is_met
    assert outcome.verdict == ""


def test_what_was_broken_is_printed_with_row_and_seed(capsys: pytest.CaptureFixture[str]) -> None:
    print_report([result(GOOD, BAD)])
    printed = capsys.readouterr().out
    assert "W1 seed 8: I3 caps: tenant 1 ran 3" in printed
    assert "No promise was broken" not in printed
    print_report([result(GOOD)])
    assert "No promise was broken" in capsys.readouterr().out


def test_a_run_of_some_rows_keeps_the_last_results_of_others(results: Path) -> None:
    record_report([result(GOOD, BAD, name="R1")])
    record_report([result(GOOD)])
    kept = read_kept(results / "chaos.json")
    assert {name: one.failures for name, one in kept.items()} == {"R1": 1, "W1": 0}
    assert "1 of 3 runs broke a promise" in (results / "chaos.md").read_text(encoding="utf-8")


def test_a_run_with_other_bounds_is_not_recorded(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FACTOR_VARIABLE, "2")
    assert bound_factor() == 2
    record_report([result(GOOD)])
    assert not (results / "chaos.json").exists()


def test_a_result_of_a_row_that_is_no_more_is_dropped(results: Path) -> None:
    write_kept({"X9": Kept.of(result(GOOD))}, results / "chaos.json")
    assert read_kept(results / "chaos.json") == {}


def test_results_come_back_from_their_file_as_they_went(tmp_path: Path) -> None:
    write_results(Results([GOOD, BAD], "a machine"), tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == Results([GOOD, BAD], "a machine")
