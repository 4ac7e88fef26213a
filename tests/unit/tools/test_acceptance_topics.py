"""Selection of acceptance tests by changed files."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR
from tools import acceptance_topics
from tools.acceptance_topics import FOLDER, TOPICS, changed_files, concerned_tests, is_core

ALL = sorted(str(path.relative_to(BASE_DIR)) for path in (BASE_DIR / FOLDER).glob("test_*.py"))


def test_table_has_each_test_file_and_existing_paths() -> None:
    assert [f"{FOLDER}test_{name}.py" for name in sorted(TOPICS)] == ALL
    assert {path for paths in TOPICS.values() for path in paths if not (BASE_DIR / path).exists()} == set()


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ([], []),
        (["docs/index.md", "tests/unit/tools/__init__.py"], []),
        (["scheduling/schedules/recurrence.py"], ["schedules"]),
        (["tests/acceptance/test_sealing.py"], ["sealing"]),
        (
            ["workloads/pipelines/admin.py", "tenants/audit/service.py"],
            ["backups", "evidence", "pipelines", "sealing", "verification"],
        ),
    ],
)
def test_change_selects_tests_of_its_topics(changed: list[str], names: list[str]) -> None:
    assert concerned_tests(changed) == [f"{FOLDER}test_{name}.py" for name in names]


@pytest.mark.parametrize("changed", [None, ["tests/acceptance/serving.py"], ["requirements.txt"]])
def test_change_of_shared_files_selects_every_test(changed: list[str] | None) -> None:
    assert concerned_tests(changed) == ALL


def test_unknown_commit_selects_every_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance_topics, "ACCEPTED", tmp_path / "accepted")
    assert changed_files() is None
    (tmp_path / "accepted").write_text("0" * 40 + "\n")
    assert changed_files() is None


def test_mark_core_stands_for_whole_files() -> None:
    marked = [test for test in ALL if "mark.core" in (BASE_DIR / test).read_text(encoding="utf-8")]
    assert [test for test in ALL if is_core(test)] == marked != []
