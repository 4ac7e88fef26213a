"""Table of a chaos run: its failures, rows that were not run, and stored results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.alerts import Summary
from tests.chaos.report import (
    RowResult,
    StoredResult,
    draw_table,
    print_report,
    read_stored,
    record_report,
    write_stored,
)
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


def test_row_has_its_failures_and_recoveries() -> None:
    kept = StoredResult.of(result(GOOD, BAD))
    assert (kept.failures, kept.p50_seconds, kept.greatest_seconds, list(kept.seeds)) == (1, 2.0, 20.0, [7, 8])


def test_row_without_recoveries_has_none() -> None:
    kept = StoredResult.of(result(Run(7, violations=["not run"])))
    assert (kept.failures, kept.p50_seconds, kept.greatest_seconds) == (1, None, None)


def test_verdict_counts_broken_runs_and_names_missing_rows() -> None:
    outcome = draw_table({"W1": StoredResult.of(result(GOOD, BAD))})
    assert not outcome.is_met
    assert outcome.verdict.startswith("1 of 2 runs broke a promise; not run: W2, W3")
    assert [row[0] for row in outcome.rows] == ["id", "W1"]


def test_verdict_is_met_if_all_rows_ran_without_violation() -> None:
    outcome = draw_table({name: StoredResult.of(result(GOOD, name=name)) for name in ROWS})
    assert outcome.is_met
    assert outcome.verdict == ""


def test_broken_promise_is_printed_with_row_and_seed(capsys: pytest.CaptureFixture[str]) -> None:
    print_report([result(GOOD, BAD)])
    printed = capsys.readouterr().out
    assert "W1 seed 8: I3 caps: tenant 1 ran 3" in printed
    assert "No promise was broken" not in printed
    print_report([result(GOOD)])
    assert "No promise was broken" in capsys.readouterr().out


def test_run_of_some_rows_keeps_last_results_of_others(results: Path) -> None:
    record_report([result(GOOD, BAD, name="R1")])
    record_report([result(GOOD)])
    kept = read_stored(results / "chaos.json")
    assert {name: one.failures for name, one in kept.items()} == {"R1": 1, "W1": 0}
    assert "1 of 3 runs broke a promise" in (results / "chaos.md").read_text(encoding="utf-8")


def test_run_with_other_bounds_is_not_recorded(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FACTOR_VARIABLE, "2")
    assert bound_factor() == 2
    record_report([result(GOOD)])
    assert not (results / "chaos.json").exists()


def test_run_with_other_bounds_records_what_was_notified(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_report([result(GOOD)])
    monkeypatch.setenv(FACTOR_VARIABLE, "2")
    notified = Summary(12.0, 2, 0, ["pool:a"])
    record_report([result(Run(9, [3.0], notified=notified))])
    stored = read_stored(results / "chaos.json")["W1"]
    assert (stored.greatest_seconds, list(stored.seeds), stored.notified) == (9.0, [7], notified)


def test_result_of_removed_row_is_dropped(results: Path) -> None:
    write_stored({"X9": StoredResult.of(result(GOOD))}, results / "chaos.json")
    assert read_stored(results / "chaos.json") == {}


def test_results_are_equal_after_writing_and_reading(tmp_path: Path) -> None:
    write_results(Results([GOOD, BAD], "a machine"), tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == Results([GOOD, BAD], "a machine")
