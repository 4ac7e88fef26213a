"""Highlights of a query's terms in a text."""

from __future__ import annotations

import pytest

from workloads.documents.highlighting import MAX_HIGHLIGHTS, find_highlights, mark_highlights
from workloads.documents.terms import query_terms


def highlighted(text: str, query: str) -> list[str]:
    return [text[start:end] for start, end in find_highlights(text, query_terms(query))]


@pytest.mark.parametrize(
    ("text", "query", "places"),
    [
        ("A Lease is renewed; leases are not.", "the lease", ["Lease"]),
        ("Le café est fermé", "CAFE", ["café"]),
        ("任务按租约续期", "租约续期", ["租约续期"]),
        ("每个租约。租约过期", "租约", ["租约", "租约"]),
        ("Kafka与队列", "kafka 队列", ["Kafka", "队列"]),
        ("nothing here", "zeppelin", []),
        ("", "lease", []),
    ],
)
def test_highlights_are_the_places_of_the_terms(text: str, query: str, places: list[str]) -> None:
    assert highlighted(text, query) == places


def test_highlights_are_limited() -> None:
    assert len(find_highlights("lease " * 500, ["lease"])) == MAX_HIGHLIGHTS


def test_marked_text_is_escaped() -> None:
    text = "<b>lease</b> & <script>alert(1)</script>"
    marked = mark_highlights(text, find_highlights(text, ["lease", "script"]))
    assert marked == (
        "&lt;b&gt;<mark>lease</mark>&lt;/b&gt; &amp; &lt;<mark>script</mark>&gt;alert(1)&lt;/<mark>script</mark>&gt;"
    )
