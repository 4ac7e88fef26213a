"""Rules of chunks: texts, the parts of a split, what neighbours share, and places."""

from __future__ import annotations

import pytest

from tenants.exceptions import FieldInvalidError
from workloads.documents.chunks.rules import (
    MAX_CHUNK_CHARACTERS,
    clean_text,
    join_texts,
    place_between,
    shared_length,
    split_text,
)


def test_text_keeps_its_indentation_and_has_line_feeds_only() -> None:
    assert clean_text("    if x:\r\n        y\n") == "    if x:\n        y\n"


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_CHUNK_CHARACTERS + 1)])
def test_blank_or_long_text_is_refused(text: str) -> None:
    with pytest.raises(FieldInvalidError):
        clean_text(text)


def test_split_keeps_the_indentation_of_the_second_part() -> None:
    assert split_text("one\n\n  two", 3) == ("one", "  two")


@pytest.mark.parametrize("offset", [-1, 0, 3, 4, 99])
def test_split_without_text_on_both_sides_is_refused(offset: int) -> None:
    with pytest.raises(FieldInvalidError):
        split_text("abc ", offset)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("A tale. It ends with these words.", "It ends with these words. Then more.", 25),
        ("It ends so.", "so. More.", 3),
        ("It ends also.", "so. More.", 0),
        ("开头。" + "一二三四五六七八九十" * 2, "一二三四五六七八九十" * 2 + "。结尾", 20),
        ("一二三四五六", "四五六七八九", 0),
        ("abc", "abc", 3),
        ("abc", "xyz", 0),
        ("", "abc", 0),
    ],
)
def test_shared_length_is_that_of_repeated_text(first: str, second: str, shared: int) -> None:
    assert shared_length(first, second) == shared


def test_neighbours_are_joined_without_what_the_second_repeats() -> None:
    assert join_texts("one two three", "three four") == "one two three four"
    assert join_texts("one.", "Two.") == "one.\nTwo."


def test_shared_length_of_repetitive_text_is_found() -> None:
    assert shared_length("a" * 8_000, "a" * 3_999 + "b") == 3_999


def test_places_between_two_chunks_end() -> None:
    assert place_between(3.0, None) == 4.0
    before, count = 3.0, 0
    after: float | None = 4.0
    while (after := place_between(before, after)) is not None:
        count += 1
    assert 40 < count < 60
