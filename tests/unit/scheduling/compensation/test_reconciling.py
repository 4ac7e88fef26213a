"""Differences between an external list and the platform, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.compensation.reconciling import ListInvalidError, compare, read_page


def test_differences_are_counted_by_name_and_what_agrees_is_not() -> None:
    outside = {"paid": "done", "refunded": "undone", "lost": "undone", "kept": "done", "strange": "done", "new": "done"}
    here = {"paid": "done", "refunded": "undone", "lost": "done", "kept": "undone", "absent": "done", "new": "open"}
    found = compare(outside, here)
    assert found.counts == {"missing_outside": 1, "undone_outside": 1, "not_undone": 1, "unknown_here": 1}
    assert found.keys == {
        "missing_outside": ["absent"],
        "undone_outside": ["lost"],
        "not_undone": ["kept"],
        "unknown_here": ["strange"],
    }


def test_keys_of_several_effects_of_a_job_belong_to_it() -> None:
    found = compare({"a:1": "done", "a:2": "done", "b:1": "done"}, {"a": "done", "b": "undone"})
    assert found.keys == {"not_undone": ["b:1"]}


def test_examples_are_bounded_and_counts_are_not() -> None:
    found = compare({str(number): "done" for number in range(150)}, {})
    assert found.counts["unknown_here"] == 150
    assert len(found.keys["unknown_here"]) == 100


def test_page_has_items_and_a_next_one() -> None:
    assert read_page({"items": [{"key": "a"}, {"key": "b", "state": "undone"}], "next": "/2"}) == (
        [("a", "done"), ("b", "undone")],
        "/2",
    )


PAGES: list[Any] = [None, [], {}, {"items": {}}, {"items": [], "next": 1}]
ITEMS: list[Any] = [1, {}, {"key": 1}, {"key": "k" * 201}, {"key": "a", "state": "maybe"}]


@pytest.mark.parametrize("content", [*PAGES, *({"items": [item]} for item in ITEMS)])
def test_other_content_is_refused(content: Any) -> None:
    with pytest.raises(ListInvalidError):
        read_page(content)
