"""Tables of a PDF: rows of cells that keep to their columns, and listings of fixed pitch."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from workloads.documents.blocks import row_of
from workloads.documents.extraction.pdf.joining import WITHOUT_SPACES, Joiner
from workloads.documents.extraction.pdf.lines import Line
from workloads.documents.extraction.pdf.order import Row

# Of one table on a page.
MAX_ROWS, MAX_COLUMNS = 400, 50
# Distances in font sizes: of rows of one table, of a cell's lines, and of a line from the middle of its row.
_TABLE_DISTANCE, _CELL_DISTANCE, _HALF_DISTANCE = 3.0, 1.35, 0.8
# A listing: most blank lines in sequence, and the longest run of spaces.
_MAX_BLANK_LINES, _MAX_SPACES = 3, 200
_MARK_CHARACTERS, _WIDER_SPACE = 8, 0.2
# Marks that a listing's line goes on in the next.
_CONTINUED = re.compile(r"[←↩⤶⏎]-?$|␣$")
_CONTINUATION = re.compile(r"\s*(?:[↪↳]|˓→)")

type _Column = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table as lines; the header is empty if the first row looks as the others do."""

    header: str
    lines: list[str]


def table_length(rows: Sequence[Row], start: int) -> int:
    """Return how many rows from ``start`` are one table; 0 if none."""
    end, last, count = start, start, 0
    while end < len(rows) and end - start < MAX_ROWS:
        row = rows[end]
        if row.level or row.region != rows[start].region:
            break
        if end > start and row.base - rows[end - 1].base > _TABLE_DISTANCE * max(row.size, rows[end - 1].size):
            break
        if len(row.cells) > 1:
            count, last = count + 1, end
        elif end == start and not _is_above_row(rows, start):
            return 0
        end += 1
    if count < 2 or all(row.is_mono for row in rows[start : last + 1] if len(row.cells) > 1):
        return 0
    columns = _columns(rows[start : last + 1])
    if not 1 < len(columns) <= MAX_COLUMNS:
        return 0
    for place in range(start, end):
        row = rows[place]
        if len(row.cells) == 1 and not _fits(row, columns, rows[place - 1] if place > last else None):
            end = place
            break
    kept = rows[start:end]
    return end - start if sum(len(row.cells) > 1 for row in kept) > 1 and len(_columns(kept)) > 1 else 0


def table_of(rows: Sequence[Row], joiner: Joiner) -> Table:
    """Return the table that the rows are."""
    columns = _columns(rows)
    table: list[list[list[Line]]] = []
    for group in _logical_rows(rows, columns):
        cells: list[list[Line]] = [[] for _ in columns]
        for line in sorted((line for row in group for line in row.cells), key=lambda line: line.base):
            cells[_column_of(line, columns)].append(line)
        table.append(cells)
    lines = [
        row_of([joiner.join([(part.text, part.begins_mono, part.ends_mono) for part in cell]) for cell in cells])
        for cells in table
    ]
    fonts = [{line.font for line in cells[0]} for cells in table]
    is_header = len(table) > 1 and all(table[0]) and fonts[0].isdisjoint(set().union(*fonts[1:]))
    return Table(lines[0], lines[1:]) if is_header else Table("", lines)


def _is_above_row(rows: Sequence[Row], start: int) -> bool:
    """Return whether the row is the upper line of a cell in the middle of whose height the row of cells is."""
    following = rows[start + 1] if start + 1 < len(rows) else None
    return (
        following is not None
        and len(following.cells) > 1
        and following.base - rows[start].base < _HALF_DISTANCE * following.size
    )


def _columns(rows: Sequence[Row]) -> list[_Column]:
    """Return the edges of the columns: places that the cells of rows with more than one cover without a gap."""
    spans = sorted((cell.left, cell.right) for row in rows if len(row.cells) > 1 for cell in row.cells)
    columns: list[_Column] = []
    for left, right in spans:
        if columns and left <= columns[-1][1]:
            columns[-1] = (columns[-1][0], max(right, columns[-1][1]))
        else:
            columns.append((left, right))
    return columns


def _fits(row: Row, columns: Sequence[_Column], above: Row | None) -> bool:
    """Return whether a row of one cell is a line of a cell: within a column, and near the row above it."""
    if above is not None and row.base - above.base > _CELL_DISTANCE * row.size:
        return False
    inside = [place for place, (left, right) in enumerate(columns) if row.left < right and row.right > left]
    return len(inside) == 1 and (above is None or inside[0] > 0) and row.left > columns[inside[0]][0] - row.size


def _column_of(line: Line, columns: Sequence[_Column]) -> int:
    middle = (line.left + line.right) / 2
    return min(range(len(columns)), key=lambda place: max(columns[place][0] - middle, middle - columns[place][1]))


def _logical_rows(rows: Sequence[Row], columns: Sequence[_Column]) -> list[list[Row]]:
    """Return the rows by the row of the table: each begins with a cell in the first column.

    Lines of higher cells are around that cell if cells are centred, which half distances show, and below it otherwise.
    """
    first = columns[0][1]
    anchors = [place for place, row in enumerate(rows) if row.left <= first]
    if not anchors:
        return [[row] for row in rows]
    is_centred = any(
        place - 1 not in anchors
        and place
        and rows[place].base - rows[place - 1].base < _HALF_DISTANCE * rows[place].size
        for place in anchors
    )
    groups: dict[int, list[Row]] = {anchor: [] for anchor in anchors}
    above = anchors[0]
    for place, row in enumerate(rows):
        if place in groups:
            above = place
        near = above
        if is_centred and place not in groups:
            near = min(anchors, key=lambda anchor: abs(rows[anchor].base - row.base))
        groups[near].append(row)
    return list(groups.values())


def listing_of(rows: Sequence[Row]) -> str:
    """Return rows of fixed pitch verbatim: each word in its column, and blank lines where there is space for them."""
    pitch = min((cell.pitch for row in rows for cell in row.cells if cell.pitch > 0), default=0.0) or 6.0
    left = min(row.left for row in rows)
    pairs = [pair for pair in itertools.pairwise(rows) if pair[0].page == pair[1].page]
    gaps = [gap for before, after in pairs if (gap := after.base - before.base) > 0]
    distance = max(min(gaps, default=0.0), rows[0].size)
    lines: list[str] = []
    for place, row in enumerate(rows):
        if place and row.page == rows[place - 1].page:
            blank = round((row.base - rows[place - 1].base) / distance) - 1
            lines.extend([""] * min(max(blank, 0), _MAX_BLANK_LINES))
        _add_line(lines, _spaced(row, left, pitch))
    return "\n".join(lines)


def _add_line(lines: list[str], line: str) -> None:
    """Add a line, or append it to the last if marks show that it is the rest of that."""
    ended = _CONTINUED.search(lines[-1][-_MARK_CHARACTERS:]) if lines else None
    begun = _CONTINUATION.match(line) if lines else None
    if ended:
        kept = lines[-1].removesuffix(ended[0])
        lines[-1] = f"{kept} " if ended[0] == "␣" else kept.rstrip()
    if begun:
        lines[-1] += line[begun.end() :]
    elif ended:
        lines[-1] += line.lstrip()
    else:
        lines.append(line)


def _spaced(row: Row, left: float, pitch: float) -> str:
    line, end = "", left
    for cell in row.cells:
        for x, word in cell.words:
            # The spaces of a listing may be a little wider than its letters.
            spaces = round((x - end) / pitch - (_WIDER_SPACE if line else 0.0))
            line += " " * min(max(spaces, 1 if line else 0), _MAX_SPACES) + word
            end = x + (cell.pitch or pitch) * (len(word) + len(WITHOUT_SPACES.findall(word)))
    return line
