"""Cleaning of texts: characters, wrapped lines, running headers, addresses."""

from __future__ import annotations

import pytest

from workloads.documents.blocks import Block
from workloads.documents.cleaning import clean_blocks, clean_text, remove_addresses, unwrap_lines


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


@pytest.mark.parametrize(
    ("page", "text"),
    [
        # Wrapped lines are continued in the next …
        ("The dispatcher looks at the\nqueues and picks one.", "The dispatcher looks at the queues and picks one."),
        # … without a space between ideographs …
        ("调度器会看每一个队列然后\n选出其中一个。", "调度器会看每一个队列然后选出其中一个。"),
        # … and with their hyphens taken out.
        ("a fair sche-\nduler", "a fair scheduler"),
        # Short lines are lists, and a full stop ends one.
        ("one\ntwo\nand a line that is much longer than these", "one\ntwo\nand a line that is much longer than these"),
        (
            "A sentence that fills its line.\nAnother one begins here now",
            "A sentence that fills its line.\nAnother one begins here now",
        ),
    ],
)
def test_wrapped_lines_of_a_page_are_joined(page: str, text: str) -> None:
    assert unwrap_lines(page) == text


def test_running_headers_and_page_numbers_are_removed_from_long_documents_only() -> None:
    pages = [Block(f"The Manual\nPage {n} says something.\n- {n} -", {"page": n}) for n in range(1, 6)]
    assert [block.text for block in clean_blocks(pages)] == [f"Page {n} says something." for n in range(1, 6)]
    assert "The Manual" in clean_blocks(pages[:3])[0].text


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
