"""Rows of tables as blocks, for readers of all formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workloads.documents.blocks import Block, BlockKind, row_of

# More columns or rows than this are not spanned, whatever a cell says.
_MAX_SPAN = 100
_MAX_COLUMNS = 1_000

type Row = tuple[Sequence[str], Mapping[str, int]]


def table_blocks(rows: Sequence[Row], *, has_header: bool) -> Iterator[Block]:
    """Yield one block per row that is not empty, each with the header if the first row is one."""
    filled = [(row_of(cells), place) for cells, place in rows if any(cell.strip() for cell in cells)]
    header = filled.pop(0)[0] if has_header and len(filled) > 1 else ""
    for text, place in filled:
        yield Block(text, place, kind=BlockKind.TABLE, header=header)


class Grid:
    """Places of cells in columns, if cells span several columns or rows. The places that they span stay empty."""

    def __init__(self) -> None:
        self._rows_left: dict[int, int] = {}

    def place(self, texts: Sequence[str], spans: Sequence[tuple[object, object]]) -> list[str]:
        """Return the next row: the texts of its cells, of which each spans so many columns and rows."""
        cells: list[str] = []
        for text, (columns, rows) in zip(texts, spans, strict=True):
            self._skip(cells)
            width = min(_count(columns), max(_MAX_COLUMNS - len(cells), 1))
            for column in range(len(cells), len(cells) + width):
                self._rows_left[column] = _count(rows) - 1
            cells.extend([text, *[""] * (width - 1)])
        self._skip(cells)
        return cells

    def _skip(self, cells: list[str]) -> None:
        while self._rows_left.get(len(cells), 0) > 0:
            self._rows_left[len(cells)] -= 1
            cells.append("")


def _count(value: object) -> int:
    text = str(value or "").strip()
    return min(max(int(text), 1), _MAX_SPAN) if text.isdecimal() and len(text) < 10 else 1
