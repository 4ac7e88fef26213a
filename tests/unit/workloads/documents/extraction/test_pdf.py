"""The layout of PDF files: order, columns, headings, margins, notes, tables, listings, and broken lines."""

from __future__ import annotations

import pypdfium2
import pytest

from tests.unit.workloads.documents.extraction.pdf_maker import (
    BOLD,
    LEADING,
    LEFT,
    MONO,
    ROMAN,
    TOP,
    Text,
    draw_pdf,
    lines,
)
from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.errors import FileDamagedError
from workloads.documents.extraction.pdf import read_pdf, reader

# Lines of about equal width, so that the margin broke them.
PROSE = (
    "The scheduler selects the child with the least virtual time, and charges the predicted cost to it",
    "before the job runs, so that a burst of one tenant cannot hold back the work of all the others who",
    "share the pool with it and who have paid for the same weight in the plan that they have selected.",
)


def read(data: bytes) -> list[Block]:
    return list(read_pdf(data, Facts()))


def texts(data: bytes) -> list[str]:
    return [block.text for block in read(data)]


def test_lines_of_paragraph_are_joined_and_paragraphs_are_separate() -> None:
    data = draw_pdf([*lines(*PROSE), *lines("Next one.", y=TOP - 5 * LEADING)])
    assert texts(data) == [" ".join(PROSE), "Next one."]


def test_paragraph_goes_on_on_the_next_page() -> None:
    data = draw_pdf(lines(*PROSE[:2]), [*lines(PROSE[2]), *lines(*PROSE, y=TOP - 3 * LEADING)])
    blocks = read(data)
    assert blocks[0].location == {"page": 1}
    assert [block.text for block in blocks] == ["\n".join(PROSE).replace("\n", " ")] * 2


def test_indentation_begins_a_paragraph() -> None:
    data = draw_pdf([*lines(*PROSE), *lines("And then this", x=LEFT + 15, y=TOP - 3 * LEADING)])
    assert texts(data) == [" ".join(PROSE), "And then this"]


@pytest.mark.parametrize("by_rows", [False, True])
def test_columns_are_read_one_after_the_other(by_rows: bool) -> None:
    left = lines(*(f"left column has line {number} here and" for number in range(8)), leading=LEADING)
    right = lines(*(f"right column line {number} is there and" for number in range(8)), x=320)
    title = [
        Text("A title across both of the columns of this page, which is set in a larger font", y=TOP + 30, size=14)
    ]
    drawn = [text for pair in zip(left, right, strict=True) for text in pair] if by_rows else [*left, *right]
    found = texts(draw_pdf([*title, *drawn]))
    assert found[1] == " ".join(text.text for text in (*left, *right))


def test_running_heads_that_change_and_page_numbers_are_left_out() -> None:
    pages = [
        [
            *lines(f"Chapter {number // 2}: {'Fair queues' if number < 4 else 'Leases'}", y=800),
            *lines(f"Page {number} says this.", *PROSE[:2], y=TOP),
            *lines(str(number), x=300, y=40),
        ]
        for number in range(1, 7)
    ]
    found = "\n".join(texts(draw_pdf(*pages)))
    assert "Chapter" not in found
    assert "\n3\n" not in found
    assert [f"Page {number} says this." in found for number in range(1, 7)] == [True] * 6


def test_first_lines_of_pages_without_running_heads_stay() -> None:
    pages = [lines(f"Page {number} begins so, and it is as long as others.", *PROSE) for number in "abcdef"]
    found = " ".join(texts(draw_pdf(*pages)))
    assert [f"Page {number} begins" in found for number in "abcdef"] == [True] * 6


def test_footnote_is_apart_and_its_mark_is_shown() -> None:
    page = [
        *lines(*PROSE),
        Text("1", x=470, y=TOP - 2 * LEADING + 4, size=6),
        *lines("1 See the manual for the weights of plans.", y=80, size=8),
    ]
    blocks = read(draw_pdf(page))
    assert blocks[0].text.endswith("selected.[1]")
    assert (blocks[1].text, blocks[1].kind) == ("[1] See the manual for the weights of plans.", BlockKind.FOOTNOTE)


def test_small_print_at_the_end_without_a_mark_is_text() -> None:
    blocks = read(draw_pdf([*lines(*PROSE), *lines("1 Rue de la Paix", y=80, size=8)]))
    assert blocks[-1] == Block("1 Rue de la Paix", {"page": 1})


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("installs the distri-", "bution that it has", "installs the distribution that"),
        ("needs the build-", "dependencies that it", "needs the build-dependencies that"),
        ("in the US-", "ASCII characters", "in the US-ASCII characters"),
        ("writes to debian/", "control and others", "writes to debian/control and"),
        ("see https://example.org/doc/", "policy for more", "see https://example.org/doc/policy for"),
        ("write to debian-user@lists.", "debian.org for help", "write to debian-user@lists.debian.org for"),
        ("needs 32-", "bit processors", "needs 32-bit processors"),
        ("writes to /", "etc of the host", "writes to /etc of"),
    ],
)
def test_broken_word_and_path_is_joined(before: str, after: str, joined: str) -> None:
    filler = PROSE[0][: 90 - len(before)]
    known = "One distribution has build-dependencies below /etc of the host and others."
    data = draw_pdf([*lines(f"{filler} {before}", after), *lines(known, y=TOP - 5 * LEADING)])
    assert joined in texts(data)[0]


def test_table_keeps_its_cells_and_its_header() -> None:
    rows = [("Region", "Q1", "Q2"), ("EMEA", "12", "15"), ("APAC", "", "77"), ("a longer name", "4", "5")]
    page = lines(*PROSE)
    for number, cells in enumerate(rows):
        for x, cell in zip((LEFT, 200, 300), cells, strict=True):
            if cell:
                font = ROMAN if number else BOLD
                page.append(Text(cell, x, TOP - (5 + number) * LEADING, font=font))
    page += lines("of two lines", y=TOP - 9 * LEADING, x=200) + lines("After.", y=TOP - 12 * LEADING)
    table = read(draw_pdf(page))[1]
    assert table.header == "Region | Q1 | Q2"
    assert table.text == "EMEA | 12 | 15\nAPAC |  | 77\na longer name | 4 of two lines | 5"
    assert table.kind is BlockKind.TABLE


def test_listing_keeps_indentation_columns_and_blank_lines() -> None:
    code = ["def f(x):", "    if x:", "        return  {", "", "# end   of it"]
    page = [*lines(*PROSE), *lines(*code, y=TOP - 5 * LEADING, size=9, font=MONO), *lines("After.", y=500)]
    block = read(draw_pdf(page))[1]
    assert (block.text, block.kind) == ("\n".join(code), BlockKind.CODE)


def test_heading_has_the_level_of_the_outline() -> None:
    page = [
        *lines("Chapter 1", y=TOP + 60, size=18),
        *lines("Fair queues", y=TOP + 40, size=18),
        *lines("1.1 Leases and", "heartbeats", y=TOP + 20, leading=12, font=BOLD),
        *lines(*PROSE, y=TOP - 12),
    ]
    data = draw_pdf(page, outline=[("Fair queues", 1, None), ("Leases and heartbeats", 1, 0)])
    assert [(block.text, block.level) for block in read(data)] == [
        ("Chapter 1 Fair queues", 1),
        ("1.1 Leases and heartbeats", 2),
        (" ".join(PROSE), 0),
    ]


def test_larger_font_is_a_heading_without_outline() -> None:
    page = [*lines("Book", y=TOP + 60, size=24), *lines("Part", y=TOP + 30, size=14), *lines(*PROSE)]
    assert [block.level for block in read(draw_pdf(page))] == [1, 2, 0]


def test_table_of_contents_is_left_out() -> None:
    entries = [f"{number} Title {'. ' * 30}{number + 2}" for number in range(1, 8)]
    data = draw_pdf(lines("Contents", y=TOP + 30, size=14) + lines(*entries), lines(*PROSE))
    assert texts(data) == ["Contents", " ".join(PROSE)]


def test_turned_text_is_read_in_its_direction() -> None:
    turned = [Text(text, x=100 + 12 * number, y=100, matrix="0 1 -1 0") for number, text in enumerate(PROSE)]
    assert texts(draw_pdf(turned)) == [" ".join(PROSE)]
    stamped = [*lines(*PROSE), Text("arXiv:1234", x=30, y=300, matrix="0 1 -1 0")]
    assert texts(draw_pdf(stamped)) == [" ".join(PROSE), "arXiv:1234"]


def test_pages_without_text_are_counted() -> None:
    facts = Facts()
    assert len(list(read_pdf(draw_pdf(lines("One."), [], []), facts))) == 1
    assert (facts.pages, facts.pages_without_text, facts.warnings) == (3, 2, [])


def test_page_of_many_small_objects_is_read() -> None:
    words = [Text("w", x=72 + 20 * (number % 20), y=TOP - 12 * (number // 20)) for number in range(1_000)]
    assert sum(text.count("w") for text in texts(draw_pdf(words))) == 1_000


def test_words_drawn_by_themselves_become_lines() -> None:
    words, x = [], float(LEFT)
    for word in ("each", "word", "is", "drawn", "by", "itself"):
        words.append(Text(word, x=x))
        x += 5 * len(word) + 4
    assert texts(draw_pdf(reversed(words))) == ["each word is drawn by itself"]


def test_page_beyond_the_limits_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_CHARACTERS", 100)
    facts = Facts()
    assert [block.text for block in read_pdf(draw_pdf(lines(*PROSE), lines("Short.")), facts)] == ["Short."]
    assert facts.warnings == ["Page 1 has more than 100 characters; it was not read."]


def test_damaged_page_is_a_warning() -> None:
    data = draw_pdf(lines("One."), lines("Two.")).replace(b"/Type /Page\n", b"/Type /Pagx\n", 1)
    facts = Facts()
    assert [block.text for block in read_pdf(data, facts)] == ["Two."]
    assert facts.warnings == ["Page 1 is damaged; it was not read."]


def test_pages_are_read_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "WINDOW_PAGES", 2)
    data = draw_pdf(*(lines(f"Number {number}.") for number in range(5)))
    assert [block.location["page"] for block in read(data)] == [1, 2, 3, 4, 5]


def test_file_whose_pages_are_all_damaged_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, number: int) -> None:
        raise pypdfium2.PdfiumError("Failed to load page.")

    monkeypatch.setattr(reader._PageReader, "_rows_of", fail)
    with pytest.raises(FileDamagedError):
        read(draw_pdf(lines("One.")))
