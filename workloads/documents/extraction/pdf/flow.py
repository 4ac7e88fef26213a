"""Blocks of a PDF, from rows in reading order: paragraphs, headings, tables, listings and footnotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from workloads.documents.blocks import Block, BlockKind
from workloads.documents.extraction.pdf.joining import WITHOUT_SPACES, Joiner
from workloads.documents.extraction.pdf.margins import Page, note_label
from workloads.documents.extraction.pdf.order import Row
from workloads.documents.extraction.pdf.tables import listing_of, table_length, table_of

# Distances in font sizes: an indentation, a difference that is none, and what a line may lack to be full.
_INDENT, _ALIGNED, _SLACK = 0.7, 0.3, 0.4
# Relative to the distance of lines: a larger one ends a paragraph. And a difference in size that ends it.
_PARAGRAPH_DISTANCE, _SIZE_STEP = 1.25, 0.08
_BULLET = re.compile(r"[•◦▪▫‣⁃●○■□–—∙·*-]\s+(?=\S)")
_NUMBER = re.compile(r"(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]\s|\(\w{1,3}\)\s|\[\w{1,4}\]\s")
_ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；", ".”", ".)", "。）", "。”", '."', ".’")


class Flow:
    """Builder of blocks, which keeps the paragraph or listing that the next row may continue."""

    def __init__(self, joiner: Joiner, leading: float) -> None:
        self._joiner = joiner
        # Distance of lines, in font sizes.
        self._leading = leading
        self._open: list[Row] = []
        self._is_code = False
        self._notes: list[Block] = []

    def blocks(self, pages: Iterable[Page]) -> Iterator[Block]:
        """Yield the blocks of pages. Footnotes follow the paragraph that their page ends with."""
        for page in pages:
            yield from self._rows(page.rows)
            if page.notes:
                self._notes.extend(self._notes_of(page.notes))
            for row in page.turned:
                self._notes.append(Block(self._text([row]), {"page": row.page}))
        yield from self._end()

    def _rows(self, rows: Sequence[Row]) -> Iterator[Block]:
        place = 0
        while place < len(rows):
            row = rows[place]
            length = 0 if row.level else table_length(rows, place)
            if length:
                yield from self._end()
                table = table_of(rows[place : place + length], self._joiner)
                yield Block("\n".join(table.lines), _location(row), kind=BlockKind.TABLE, header=table.header)
            elif row.level:
                yield from self._end()
                length = 1
                while place + length < len(rows) and rows[place + length].heading == row.heading:
                    length += 1
                yield Block(self._text(rows[place : place + length]), _location(row), row.level)
            else:
                length = 1
                following = rows[place + 1] if place + 1 < len(rows) else None
                yield from self._row(row, following)
            place += length

    def _row(self, row: Row, following: Row | None) -> Iterator[Block]:
        last = self._open[-1] if self._open else None
        is_code = row.is_mono and not self._is_inline(row, last, following)
        if last is not None and (
            is_code != self._is_code or not (self._is_listing(last, row) if is_code else self._continues(last, row))
        ):
            yield from self._end()
        self._open.append(row)
        self._is_code = is_code

    def _is_inline(self, row: Row, last: Row | None, following: Row | None) -> bool:
        """Return whether a row of fixed pitch is a line of a paragraph, which only happens to hold no other font."""
        if last is not None and not self._is_code and self._is_full(last, row) and self._continues(last, row):
            return True
        return (
            following is not None
            and not following.is_mono
            and not following.level
            and self._is_full(row, following)
            and abs(row.left - following.left) < _ALIGNED * row.size
            and self._is_near(row, following)
        )

    def _is_listing(self, last: Row, row: Row) -> bool:
        return row.page != last.page or 0 < row.base - last.base < 3.2 * row.size

    def _continues(self, last: Row, row: Row) -> bool:
        """Return whether a row is the next line of the paragraph that ``last`` is a line of."""
        size = row.size
        if abs(size - last.size) > _SIZE_STEP * size:
            return False
        is_full = self._is_full(last, row)
        has_ended = last.text.endswith(_ENDS)
        if _BULLET.match(row.text) or (_NUMBER.match(row.text) and not (is_full and not has_ended)):
            return False
        goes_on = is_full or (not has_ended and row.text[0].islower())
        if (row.page, row.region) != (last.page, last.region):
            return goes_on and not has_ended
        if not self._is_near(last, row):
            return False
        step = row.left - last.left
        is_first = len(self._open) == 1
        if step > _INDENT * size:
            is_item = is_first and (_BULLET.match(last.text) or _NUMBER.match(last.text)) is not None
            return (is_item and step < 5 * size) or (goes_on and not has_ended)
        if step < -_INDENT * size:
            return is_first and goes_on
        return goes_on

    def _is_near(self, last: Row, row: Row) -> bool:
        return 0 < row.base - last.base < _PARAGRAPH_DISTANCE * self._leading * max(row.size, last.size)

    def _is_full(self, last: Row, row: Row) -> bool:
        """Return whether the first word of a row had no room in the line above."""
        text = row.text
        if WITHOUT_SPACES.match(text):
            first = 1.0 * row.size
        else:
            first = len(text.split(None, 1)[0]) * (row.right - row.left) / len(text)
        return last.right + first + _SLACK * row.size > last.edges[1]

    def _end(self) -> Iterator[Block]:
        rows, self._open = self._open, []
        if rows and self._is_code:
            yield Block(listing_of(rows), _location(rows[0]), kind=BlockKind.CODE)
        elif rows:
            text = self._text(rows)
            bullet = _BULLET.match(text)
            is_item = bullet is not None or _NUMBER.match(text) is not None
            kind = BlockKind.LIST_ITEM if is_item else BlockKind.PARAGRAPH
            yield Block(text[bullet.end() :] if bullet else text, _location(rows[0]), kind=kind)
        yield from self._notes
        self._notes = []

    def _notes_of(self, rows: Sequence[Row]) -> Iterator[Block]:
        starts = [place for place, row in enumerate(rows) if note_label(row) in row.labels]
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            label = note_label(rows[start])
            text = self._text(rows[start:end])
            text = f"[{label}] {text.lstrip(f'([{label}').lstrip(')]. ')}"
            yield Block(text, _location(rows[start]), kind=BlockKind.FOOTNOTE)

    def _text(self, rows: Sequence[Row]) -> str:
        parts = []
        for row in rows:
            text = " ".join(_with_labels(cell.text, cell.raised, row.labels) for cell in row.cells)
            parts.append((text, row.cells[0].begins_mono, row.cells[-1].ends_mono))
        return self._joiner.join(parts)


def _with_labels(text: str, raised: Sequence[tuple[int, int]], labels: frozenset[str]) -> str:
    for start, end in sorted(raised, reverse=True):
        if text[start:end] in labels:
            text = f"{text[:start].rstrip()}[{text[start:end]}]{text[end:]}"
    return text


def _location(row: Row) -> dict[str, int]:
    return {"page": row.page}
