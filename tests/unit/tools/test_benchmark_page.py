"""Tables of docs/benchmarks.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.benchmark_page import PAGE, draw_page


def finding(what: str, measured: str) -> dict[str, Any]:
    return {"what": f"rate: {what}", "target": "–", "measured": measured, "beside": "2 slots"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    findings = [
        finding("this platform, merged", "5,691 (5,277–6,104)"),
        finding("this platform, ordinary", "484 (372–596)"),
        finding("one 1.0", "1,171 (1,136–1,207)"),
        finding("two 2.0", "149 (144–154)"),
    ]
    part = {"date": "2026-01-02", "machine": "a machine", "load": 0.5, "findings": findings}
    (tmp_path / "peers.json").write_text(json.dumps({"drain": part}))
    return tmp_path


def block(order: str, parts: str) -> str:
    return f"Before.\n<!-- {order}: peers {parts} -->\nold\n<!-- end -->\nAfter.\n"


def test_page_shows_the_stored_results() -> None:
    text = PAGE.read_text()
    assert text.count("<!-- end -->") > 1
    assert draw_page(text) == text, "draw the tables again: python -m tools.benchmark_page"


def test_table_replaces_the_text_between_its_marks(results: Path) -> None:
    drawn = draw_page(block("rows", "drain"), results)
    assert drawn.startswith("Before.\n<!-- rows: peers drain -->\n\n| what | target | measured |\n")
    assert drawn.endswith(
        "| rate: two 2.0 | – | 149 (144–154) |\n\n"
        "Measured `drain` on 2026-01-02, with a load of 0.5 before, on a machine.\n\n<!-- end -->\nAfter.\n"
    )
    assert draw_page(drawn, results) == drawn


@pytest.mark.parametrize(
    ("order", "names", "ahead"),
    [
        (
            "most",
            ["**this platform, merged**", "one 1.0", "**this platform, ordinary**", "two 2.0"],
            {"this platform, merged": "none", "this platform, ordinary": "one 1.0"},
        ),
        (
            "least",
            ["two 2.0", "**this platform, ordinary**", "one 1.0", "**this platform, merged**"],
            {"this platform, merged": "two 2.0; one 1.0", "this platform, ordinary": "two 2.0"},
        ),
    ],
)
def test_ranked_table_lists_the_better_systems(
    results: Path, order: str, names: list[str], ahead: dict[str, str]
) -> None:
    lines = draw_page(block(order, "drain"), results).splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines if "2 slots" in line] == names
    for name, better in ahead.items():
        assert f"- Better than {name}: {better}." in lines


def test_part_without_results_is_shown_as_not_measured(results: Path) -> None:
    drawn = draw_page(block("rows", "flood"), results)
    assert "| `flood` | – | not measured |\n\n<!-- end -->" in drawn
