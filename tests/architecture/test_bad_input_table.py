"""Every line of docs/reference/bad_input.md is covered by existing tests."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from jobsplatform.settings.env import BASE_DIR
from tests.bad_input import LINES
from tests.syntax import nodes_of, parse

ROW = re.compile(r"^\| (?!what comes \||---)(.+?) \| .+ \|$", re.MULTILINE)


@cache
def names_in(file: str) -> set[str]:
    """Return the names of the tests of a file."""
    tree = parse((BASE_DIR / file).read_text())
    return {node.name for node in nodes_of(tree) if isinstance(node, ast.FunctionDef)}


def test_page_and_table_have_the_same_lines() -> None:
    assert ROW.findall((BASE_DIR / "docs" / "reference" / "bad_input.md").read_text()) == list(LINES)


@pytest.mark.parametrize("line", LINES)
def test_each_line_names_existing_tests(line: str) -> None:
    assert LINES[line]
    for test in LINES[line]:
        file, _, name = test.partition("::")
        assert name.startswith("test_"), test
        assert name in names_in(file), test
