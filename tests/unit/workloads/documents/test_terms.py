from __future__ import annotations

import pytest

from workloads.documents.terms import iterate_terms, query_terms, quote_lexeme, to_tsqueries, to_tsvector


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Fair Queues", ["fair", "queues"]),  # words, folded
        ("公平调度", ["公平", "平调", "调度"]),  # overlapping pairs
        ("的", ["的"]),  # a lone character stands for itself
        ("用 Redis 做队列", ["用", "redis", "做队", "队列"]),  # mixed scripts part from each other
        ("Redis队列", ["redis", "队列"]),  # … also without a space
        ("Café ÉTÉ", ["cafe", "ete"]),  # accents of Latin fold
        ("ジョブ", ["ジョ", "ョブ"]),  # kana, whose voiced marks stay
        ("ＡＢＣ１２３", ["abc123"]),  # full width is compatibility
        ("안녕하세요", ["안녕", "녕하", "하세", "세요"]),  # Hangul, for its particles
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),  # Thai has no spaces
        ("straße", ["strasse"]),  # case folding, not lower-casing
        ("𠀀𠀁", ["𠀀𠀁"]),  # beyond the basic plane
        ("a-b_c, d!", ["a", "b_c", "d"]),  # punctuation parts, the underscore does not
        ("!!! …", []),  # nothing to find
        ("", []),
    ],
)
def test_a_text_has_these_terms(text: str, terms: list[str]) -> None:
    assert list(iterate_terms(text)) == terms


def test_a_hash_of_a_thousand_letters_is_cut_to_what_a_lexeme_may_hold() -> None:
    assert list(iterate_terms("f" * 1_000)) == ["f" * 64]


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("What is the fair share?", ["fair", "share"]),  # stop words only cost
        ("to be or not to be", ["to", "be", "or", "not"]),  # … unless there is nothing else
        ("queue queue", ["queue"]),  # each once
    ],
)
def test_a_query_looks_for_these_terms(query: str, terms: list[str]) -> None:
    assert query_terms(query) == terms


def test_the_headings_terms_weigh_more_and_come_first() -> None:
    assert to_tsvector("fair 队列 fair", heading="Fair") == "'fair':1A,2,4 '队列':3"


def test_positions_stop_at_what_postgresql_counts_to() -> None:
    last = to_tsvector(" ".join(f"w{number}" for number in range(20_000))).rsplit(" ", 1)[1]
    assert last == "'w19999':16383"


def test_a_quote_or_a_backslash_cannot_leave_a_lexeme() -> None:
    assert quote_lexeme("a'b\\c") == "'a''b\\\\c'"
    assert to_tsqueries(["x", "y"]) == ["'x'", "'y'"]
