"""Cleaning of texts: characters, spaces, blank lines, addresses."""

from __future__ import annotations

import pytest

from workloads.documents.blocks import Block
from workloads.documents.cleaning import clean_blocks, clean_text, remove_addresses


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("a\r\nb\rc", "a\nb\nc"),  # line ends of three systems
        ("a \t\u00a0\u3000b", "a b"),  # every kind of space
        ("a\n\n \n\n\nb", "a\n\nb"),  # runs of blank lines
        ("a\x00b\x07c", "abc"),  # characters that PostgreSQL refuses, and control characters
        ("\ufeffpass\u200bword\u202egnp", "passwordgnp"),  # byte-order mark, zero width, bidi override
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian is spelt with the non-joiner
        ("a\ud800b", "ab"),  # half a surrogate pair
        ("e\u0301", "é"),  # composed
        ("  \n ", ""),
    ],
)
def test_text_is_cleaned(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


def test_lines_of_a_slide_are_kept() -> None:
    slides = [Block(f"Agenda\nWe begin with the queue {n}\nand go on", {"page": n}) for n in range(1, 6)]
    assert clean_blocks(slides) == slides


def test_blocks_that_are_empty_after_cleaning_are_dropped() -> None:
    assert clean_blocks([Block("\u200b \n"), Block("text", {"line": 3}, 2)]) == [Block("text", {"line": 3}, 2)]


@pytest.mark.parametrize(
    ("urls", "emails", "left"),
    [
        (False, False, "See https://example.com/a?b=c, www.example.org or bob.b+x@mail.example.com."),
        (True, False, "See or bob.b+x@mail.example.com."),
        (False, True, "See https://example.com/a?b=c, www.example.org or ."),
        (True, True, "See or ."),
    ],
)
def test_addresses_are_removed_if_requested(urls: bool, emails: bool, left: str) -> None:
    text = "See https://example.com/a?b=c, www.example.org or bob.b+x@mail.example.com."
    (block,) = remove_addresses([Block(text, {"line": 3}, 2)], urls=urls, emails=emails)
    assert block == Block(left, {"line": 3}, 2)


def test_block_that_was_only_an_address_is_removed() -> None:
    assert remove_addresses([Block("https://example.com")], urls=True, emails=True) == []


def test_long_run_of_letters_is_read_in_linear_time() -> None:
    text = "a" * 200_000 + "@" + "b." * 50_000
    assert remove_addresses([Block(text)], urls=True, emails=True)
