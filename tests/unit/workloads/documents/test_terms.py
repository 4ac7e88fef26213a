"""Terms of texts and queries for full-text search, and their encoding for PostgreSQL."""

from __future__ import annotations

import pytest

from workloads.documents.terms import iterate_terms, query_terms, quote_lexeme, to_tsqueries, to_tsvector


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Fair Queues", ["fair", "queues"]),  # words, folded
        ("公平调度", ["公平", "平调", "调度"]),  # overlapping pairs
        ("的", ["的"]),  # a single character is a term
        ("用 Redis 做队列", ["用", "redis", "做队", "队列"]),  # mixed scripts are separated
        ("Redis队列", ["redis", "队列"]),  # … also without a space
        ("Café ÉTÉ", ["cafe", "ete"]),  # accents of Latin fold
        ("ジョブ", ["ジョ", "ョブ"]),  # kana, whose voiced marks are kept
        ("ＡＢＣ１２３", ["abc123"]),  # full width is normalised
        ("안녕하세요", ["안녕", "녕하", "하세", "세요"]),  # Hangul, for its particles
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),  # Thai has no spaces
        ("straße", ["strasse"]),  # case folding, not lower-casing
        ("𠀀𠀁", ["𠀀𠀁"]),  # beyond the basic plane
        ("a-b_c, d!", ["a", "b_c", "d"]),  # punctuation separates, the underscore does not
        ("!!! …", []),  # no terms
        ("", []),
    ],
)
def test_text_has_the_expected_terms(text: str, terms: list[str]) -> None:
    assert list(iterate_terms(text)) == terms


def test_long_word_is_truncated_to_the_size_of_a_lexeme() -> None:
    assert list(iterate_terms("f" * 1_000)) == ["f" * 64]


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("What is the fair share?", ["fair", "share"]),  # stop words are omitted
        ("to be or not to be", ["to", "be", "or", "not"]),  # … unless there are no other terms
        ("queue queue", ["queue"]),  # each once
    ],
)
def test_query_has_the_expected_terms(query: str, terms: list[str]) -> None:
    assert query_terms(query) == terms


def test_terms_of_heading_weigh_more_and_come_first() -> None:
    assert to_tsvector("fair 队列 fair", heading="Fair") == "'fair':1A,2,4 '队列':3"


def test_positions_stop_at_the_maximum_of_postgresql() -> None:
    last = to_tsvector(" ".join(f"w{number}" for number in range(20_000))).rsplit(" ", 1)[1]
    assert last == "'w19999':16383"


def test_quote_and_backslash_are_escaped_in_a_lexeme() -> None:
    assert quote_lexeme("a'b\\c") == "'a''b\\\\c'"
    assert to_tsqueries(["x", "y"]) == ["'x'", "'y'"]
