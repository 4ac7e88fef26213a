"""Headings of a PDF: titles of its outline where they lead to, else rows in a larger font."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pypdfium2

from workloads.documents.extraction.pdf.margins import Page
from workloads.documents.extraction.pdf.order import Row

MAX_OUTLINE = 20_000
# Titles that lead to one page; and rows of a page among which titles are searched for.
MAX_TITLES, MAX_ROWS = 200, 1_000
MAX_LEVEL = 6
# A heading's font is this much larger than the text's, unless the outline has its title.
_LARGER = 1.12
_MAX_ROWS, _MAX_CHARACTERS = 4, 300
# Distance of the rows of one heading, in font sizes.
_DISTANCE = 1.7
# Letters at the end of a row that have to be in a title, if the title goes on in the next.
_KNOWN_LETTERS = 4
_NO_LETTERS = re.compile(r"[\W_]+")
_LABEL = re.compile(r"(?:chapter|appendix|section|part|第|附录)?(?:[a-z]?\d{0,10}|[ivxlc]{0,6})(?:章|节|部分)?")

type Outline = Mapping[int, Sequence[tuple[int, str]]]


def outline_of(document: pypdfium2.PdfDocument) -> Outline:
    """Return the titles of the outline with their levels, by page number."""
    titles: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for entry in itertools.islice(document.get_toc(), MAX_OUTLINE):
        target = entry.get_dest()
        index = target.get_index() if target is not None else None
        title = _letters(entry.get_title())
        if index is not None and title:
            titles[index + 1].append((min(entry.level + 1, MAX_LEVEL), title))
    return titles


def mark_headings(pages: Sequence[Page], outline: Outline, size: float) -> None:
    """Set the level of each row that belongs to a heading."""
    levels: dict[float, Counter[int]] = defaultdict(Counter)
    fonts = Counter(row.cells[0].font for page in pages for row in page.rows)
    font = fonts.most_common(1)[0][0] if fonts else b""
    number = 0
    for page in pages:
        titles = outline.get(page.number, ())[:MAX_TITLES] if len(page.rows) <= MAX_ROWS else ()
        marked = [row for row in page.rows if row.size > 1.02 * size or row.cells[0].font != font] if titles else []
        for level, title in titles:
            # Only a title that looks like the text is searched for among all rows, which takes ten times as long.
            found = _find(marked, title) or _find(page.rows, title)
            if found:
                number += 1
                first = page.rows.index(found[0])
                for row in (*_rows_above(page.rows, first, size), *found):
                    row.level, row.heading = level, number
                levels[round(found[0].size, 1)][level] += 1
    large = Counter(
        round(row.size, 1) for page in pages for row in page.rows if not row.level and _may_be_heading(row, size)
    )
    known = {height: counts.most_common(1)[0][0] for height, counts in levels.items() if height > _LARGER * size}
    ranks = sorted({*large, *known}, reverse=True)
    for page in pages:
        last: Row | None = None
        for row in page.rows:
            height = round(row.size, 1)
            if not row.level and height in large and _may_be_heading(row, size):
                number += last is None or not _is_one_heading(last, row)
                row.level = known.get(height) or min(ranks.index(height) + 1, MAX_LEVEL)
                row.heading, last = number, row


def _rows_above(rows: Sequence[Row], first: int, size: float) -> Sequence[Row]:
    """Return the large rows at the top of a page above a title, which are its number: `Chapter 1`."""
    above = rows[:first]
    return (
        above if len(above) < _MAX_ROWS and all(_may_be_heading(row, size) and not row.level for row in above) else ()
    )


def _is_one_heading(row: Row, following: Row) -> bool:
    return (
        row.region == following.region
        and abs(row.size - following.size) < 0.1 * row.size
        and 0 < following.base - row.base < _DISTANCE * row.size
    )


def _may_be_heading(row: Row, size: float) -> bool:
    text = row.text
    return row.size >= _LARGER * size and len(text) <= _MAX_CHARACTERS and any(map(str.isalpha, text))


def _find(rows: Sequence[Row], title: str) -> Sequence[Row]:
    """Return the rows that are a title of the outline, maybe with a number before it; the largest of several."""
    letters = [_letters(row.text) for row in rows]
    best: Sequence[Row] = ()
    for start, first in enumerate(rows):
        if first.level or (best and first.size <= best[0].size):
            continue
        written = ""
        for end in range(start, min(start + _MAX_ROWS, len(rows))):
            if abs(rows[end].size - first.size) > 0.15 * first.size:
                break
            written += letters[end]
            if written.endswith(title) and _LABEL.fullmatch(written[: -len(title)]):
                best = rows[start : end + 1]
            if len(written) >= len(title) or title.find(written[-_KNOWN_LETTERS:]) < 0:
                break
    return best


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text).casefold()
