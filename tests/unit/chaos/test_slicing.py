"""Rows that CI runs: a window over the table that moves with the number of commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.chaos import ci_window
from tests.chaos.ci_window import COMMITS_A_WINDOW, arrange, choose_slice, count_commits
from tests.chaos.rows import ROWS

SIZE = 12
HAND_INS = -(-len(ROWS) // SIZE)


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "whole"
    folder.mkdir()
    git(folder, "init")
    for number in range(3):
        git(folder, "commit", "--allow-empty", "-m", str(number))
    return folder


def test_whole_table_fits_in_eight_slices_of_twelve() -> None:
    assert HAND_INS <= 8


@pytest.mark.parametrize("first", [0, 929, 1_000_003])
def test_consecutive_windows_cover_every_row(first: int) -> None:
    counts = [first + number * COMMITS_A_WINDOW for number in range(HAND_INS)]
    assert {name for count in counts for name in choose_slice(ROWS, size=SIZE, commits=count)} == set(ROWS)


@pytest.mark.parametrize("step", [1, 7, 24, 33, COMMITS_A_WINDOW])
def test_smaller_steps_cover_every_row(step: int) -> None:
    counts = range(929, 929 + HAND_INS * COMMITS_A_WINDOW + step, step)
    assert {name for count in counts for name in choose_slice(ROWS, size=SIZE, commits=count)} == set(ROWS)


def test_slice_has_the_requested_number_of_distinct_rows() -> None:
    chosen = choose_slice(ROWS, size=SIZE, commits=929)
    assert len(set(chosen)) == len(chosen) == SIZE
    assert sorted(choose_slice(ROWS, size=1_000, commits=5)) == sorted(ROWS)


def test_long_rows_are_spread_over_the_slices() -> None:
    circle = arrange(ROWS, size=SIZE)
    assert sorted(circle) == sorted(ROWS)
    minutes = [
        sum(ROWS[name].minutes for name in choose_slice(ROWS, size=SIZE, commits=number * COMMITS_A_WINDOW))
        for number in range(HAND_INS)
    ]
    assert max(minutes) < 2 * min(minutes)


def test_commits_of_a_whole_clone_are_counted(repository: Path) -> None:
    assert count_commits(repository) == 3


def test_day_replaces_commits_in_shallow_clone_and_without_git(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "--depth=1", f"file://{repository}", "shallow")
    today = count_commits(tmp_path / "shallow")
    assert today > 20_000 * COMMITS_A_WINDOW
    (tmp_path / "bare").mkdir()
    assert count_commits(tmp_path / "bare") == today
    monkeypatch.setattr(ci_window.time, "time", lambda: (today / COMMITS_A_WINDOW + 1) * ci_window.DAY_SECONDS)
    assert count_commits(tmp_path / "bare") == today + COMMITS_A_WINDOW
