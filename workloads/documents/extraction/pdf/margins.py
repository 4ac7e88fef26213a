"""Rows that are not the text itself: running heads and feet, tables of contents, and footnotes."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from workloads.documents.extraction.pdf.order import Row

# Heads and feet have at most this many rows.
_EDGE_ROWS = 2
# Pages on which a row has to be at one height, and their share of all pages.
_MIN_PAGES, _MIN_SHARE = 3, 0.1
# Share of the rows at one height that look like heads.
_ALIKE_SHARE = 0.6
# Distance of a head from the text, in line distances; and of one that repeats or is a page number.
_HEAD_DISTANCE, _KNOWN_DISTANCE = 1.6, 1.2
# Largest size of a head or foot, and of a footnote, relative to the text.
_MAX_HEAD_SIZE, _MAX_NOTE_SIZE = 1.15, 0.93
# Dots and spaces of a leader in a table of contents; and entries that make rows such a table.
_LEADER_CHARACTERS, _MIN_ENTRIES = 6, 5
# Rows of an entry before the one with the page number.
_ENTRY_ROWS = 3

_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\W*(?:\d{1,5}|[ivxlc]{1,8})\W*", re.IGNORECASE)
_NOTE_LABEL = re.compile(r"[(\[]?(\d{1,2}|[*†‡§])(?:[.)\]]|\s|(?<=[*†‡§]))")


@dataclass(slots=True)
class Page:
    """A page's rows in reading order; and what was set apart from them."""

    number: int
    rows: list[Row]
    # Rows in other directions than the most, such as a stamp in the margin.
    turned: list[Row]
    notes: list[Row]


def remove_running_rows(pages: Sequence[Page], leading: float, size: float) -> None:
    """Remove the heads and feet of pages: rows at one height that repeat, are page numbers, or stand apart.

    A head changes by chapter, so that its text alone does not tell it.
    """
    for _ in range(_EDGE_ROWS):
        for sign in (1, -1):
            _remove_edge(pages, sign, leading, size)


def _remove_edge(pages: Sequence[Page], sign: int, leading: float, size: float) -> None:
    edges: dict[int, Row] = {}
    heights: dict[int, list[int]] = defaultdict(list)
    for place, page in enumerate(pages):
        if page.rows:
            row = min(page.rows, key=lambda row: sign * row.base)
            edges[place] = row
            heights[round(row.base)].append(place)
    texts = Counter(_DIGITS.sub("#", row.text) for row in edges.values())
    least = max(_MIN_PAGES, _MIN_SHARE * len(edges))
    for height in sorted(heights, key=lambda height: len(heights[height]), reverse=True):
        found = [place for near in (height, height - 1, height + 1) for place in heights.get(near, ())]
        if len(found) < least:
            continue
        alike = sum(_is_like_head(edges[place], texts, _distance(pages[place], sign) / leading) for place in found)
        for place in found:
            row = edges[place]
            if alike >= _ALIKE_SHARE * len(found) and row.size <= _MAX_HEAD_SIZE * size and not row.is_mono:
                pages[place].rows = [other for other in pages[place].rows if other is not row]
        for near in (height, height - 1, height + 1):
            heights[near] = []


def _distance(page: Page, sign: int) -> float:
    """Return the distance of the first, or last, row of a page from the next."""
    bases = sorted(sign * row.base for row in page.rows)
    return bases[1] - bases[0] if len(bases) > 1 else math.inf


def _is_like_head(row: Row, texts: Counter[str], distance: float) -> bool:
    is_known = texts[_DIGITS.sub("#", row.text)] > 1 or _PAGE_NUMBER.fullmatch(row.text) is not None
    # The only row of a page is its text, unless other pages have it too.
    return distance > _KNOWN_DISTANCE if is_known else _HEAD_DISTANCE < distance < math.inf


def remove_contents(page: Page) -> None:
    """Remove a table of contents: rows with leaders to page numbers, which do not fall, and the rows between them."""
    numbers = {
        place: number for place, row in enumerate(page.rows) if (number := _number_after_leader(row)) is not None
    }
    values = list(numbers.values())
    falls = sum(before > after for before, after in itertools.pairwise(values))
    if len(values) < _MIN_ENTRIES or falls > len(values) / 10:
        return
    entries = set(numbers)
    for place in numbers:
        for before in range(place - 1, max(place - 1 - _ENTRY_ROWS, -1), -1):
            if before in numbers or page.rows[before].size > 1.05 * page.rows[place].size:
                break
            entries.add(before)
    page.rows = [row for place, row in enumerate(page.rows) if place not in entries]


def _number_after_leader(row: Row) -> int | None:
    words = row.text.rsplit(None, 1)
    if (
        len(words) < 2
        or not (words[1].isdigit() or _PAGE_NUMBER.fullmatch(words[1]))
        or len(words[1]) > _LEADER_CHARACTERS
    ):
        return None
    kept = words[0].rstrip(" .…·")
    if len(words[0]) - len(kept) < _LEADER_CHARACTERS:
        return None
    return int(words[1]) if words[1].isdecimal() else 0


def take_notes(page: Page, size: float) -> None:
    """Move the footnotes of a page apart: small rows at its end, which begin with a label that the text refers to."""
    start = len(page.rows)
    while start and _is_small(page.rows[start - 1], size):
        start -= 1
    labels = _labels_in(page.rows[:start])
    for place in range(start, len(page.rows)):
        label = note_label(page.rows[place])
        if label in labels:
            page.notes = page.rows[place:]
            page.rows = page.rows[:place]
            known = labels.intersection(map(note_label, page.notes))
            for row in (*page.rows, *page.notes):
                row.labels = frozenset(known)
            return


def note_label(row: Row) -> str:
    """Return the label that a footnote begins with, or an empty string."""
    first = row.cells[0]
    if first.raised and first.raised[0][0] <= 1:
        return first.text[slice(*first.raised[0])]
    match = _NOTE_LABEL.match(first.text)
    return match[1] if match else ""


def _is_small(row: Row, size: float) -> bool:
    return row.size <= _MAX_NOTE_SIZE * size and len(row.cells) == 1 and not row.is_mono


def _labels_in(rows: Sequence[Row]) -> set[str]:
    labels = {cell.text[start:end] for row in rows for cell in row.cells for start, end in cell.raised}
    return labels.union(*({symbol for symbol in "*†‡§" if symbol in row.text} for row in rows))
