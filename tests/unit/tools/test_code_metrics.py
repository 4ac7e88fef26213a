"""Counting rules of `make code-metrics`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.code_metrics import (
    NOOP_PATH_FILE,
    TEST_SECONDS_FILE,
    code_lines,
    count_benchmarks,
    count_contract_lines,
    count_migrations,
    count_noop_path,
    count_product_lines,
    count_sql,
    count_test_seconds,
    private_accesses,
    render,
    repeated_class_names,
    sql_lines,
    sql_literals,
)

MODULE = '''"""Docstring of a module
with two lines."""

# A comment.
import os  # with a comment behind it


class Thing:
    """Docstring of a class."""

    names = (
        "a",

        # A comment between.
        "b",
    )

    def path(self):
        """Docstring of a method."""
        return os.sep


QUERY = """
-- A comment in SQL.
SELECT 1

FROM thing
"""
'''
# import, class, four of the tuple, def, return, and of the literal: two delimiters and two lines.
CODE_LINES = 1 + 1 + 4 + 1 + 1 + 4
PYPROJECT = """
[tool.ruff]
line-length = 120
# Why there are contracts.
[tool.importlinter]
root_packages = ["a"]

[[tool.importlinter.contracts]]
name = "layers"
[tool.other]
name = "x"
"""


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder and return it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_code_lines_leave_out_docstrings_comments_and_blank_lines() -> None:
    assert code_lines(MODULE) == CODE_LINES


def test_sql_lines_leave_out_comments_and_blank_lines() -> None:
    assert sql_lines("-- name: find\n\nSELECT 1\n  -- why\nFROM thing;\n") == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('Q = "SELECT 1"', 1),
        ('Q = "SELECT a " "FROM b"', 1),
        ('Q = f"UPDATE thing SET a = {value} WHERE b = {other}"', 1),
        ('Q = "EXISTS (SELECT FROM thing)"', 1),
        ('def f():\n    """SELECT in a docstring."""\n    raise ValueError("Select a row.")', 0),
        ('Q = "DELETE FROM a", "INSERT INTO b", "WITH c AS (", "SET LOCAL d = 1", "CREATE TABLE e"', 5),
    ],
)
def test_sql_literals_are_found(source: str, expected: int) -> None:
    assert len(list(sql_literals(source))) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a._b  # noqa: SLF001 - no public way", 1),
        ("a._b()  # type: ignore[attr-defined]  # noqa: SLF001", 1),
        ("a.b  # noqa: S608", 0),
        ('getattr(a, "_b", None)', 1),
        ('hasattr(a, "__b__")', 0),
        ("getattr(a, name)", 0),
        ('getattr(a, "b")', 0),
    ],
)
def test_private_accesses_are_counted(source: str, expected: int) -> None:
    assert private_accesses(source) == expected


def test_only_public_classes_of_two_modules_are_repeated(tmp_path: Path) -> None:
    first = "class Slot: ...\nclass _Own: ...\nclass Command: ...\nclass Outer:\n    class Meta: ..."
    second = "class Slot: ...\nclass _Own: ...\nclass Command: ...\nclass Other:\n    class Meta: ..."
    root = write(tmp_path, {"scheduling/a.py": first, "tenants/b.py": second, "tests/c.py": "class Outer: ..."})
    assert repeated_class_names(root) == {"Slot": ["scheduling/a.py", "tenants/b.py"]}


def test_files_of_the_product_are_counted(tmp_path: Path) -> None:
    files = {
        "scheduling/a.py": MODULE,
        "scheduling/a.sql": "-- name: find\nSELECT 1;\n",
        "scheduling/migrations/0001_models.py": "X = 1\nY = 2\n",
        "scheduling/migrations/0002_more.py": "X = 1\n",
        "tenants/migrations/0001_models.py": "X = 1\n",
        "tests/test_a.py": "X = 1\n",
        "benchmarks/one.py": "X = 1\n\n\nY = 2\n",
        "pyproject.toml": PYPROJECT,
    }
    root = write(tmp_path, files)
    assert list(count_product_lines(root)) == [CODE_LINES + 1]
    assert list(count_migrations(root)) == [3, 2]
    assert list(count_sql(root)) == [1, 0]
    assert list(count_benchmarks(root)) == [4]
    assert list(count_contract_lines(root)) == [4]


def test_statement_of_six_lines_is_long(tmp_path: Path) -> None:
    query = "\n".join(["SELECT a", *(f", a{number}" for number in range(4)), "FROM b"])
    root = write(tmp_path, {"scheduling/a.py": f'A = """{query}"""\nB = """{query.replace(", a0", "")}"""\n'})
    assert list(count_sql(root)) == [2, 1]


def test_table_compares_two_folders(tmp_path: Path) -> None:
    before = write(tmp_path / "before", {"scheduling/a.py": "A = 1\nB = 2\n", "pyproject.toml": ""})
    path = {str(NOOP_PATH_FILE): json.dumps({"files": 40})}
    now = write(tmp_path / "now", {"scheduling/a.py": "A = 1\n", "pyproject.toml": "", **path})
    assert list(count_noop_path(now)) == [40]
    table = render(now, before, "abc1234").splitlines()
    assert table[0] == "| number | abc1234 | now | ratio | target |"
    assert "| product lines | 2 | 1 | 0.50× | ≤ 0.92× |" in table
    assert "| project files that a warm no-op job passes | not measured | 40 | – | ≤ 45 |" in table
    assert "| number | now | target |" in render(now)


def test_test_seconds_are_read_once_all_targets_have_run(tmp_path: Path) -> None:
    path = tmp_path / TEST_SECONDS_FILE
    path.parent.mkdir()
    path.write_text(json.dumps({"unit": 50, "acceptance": 1400}))
    assert count_test_seconds(tmp_path) == []
    path.write_text(json.dumps({"unit": 50, "acceptance": 1400, "test": 700}))
    assert count_test_seconds(tmp_path) == [50, 700, 1400]
