"""Reading order of a page: columns, and rows of lines that share a baseline."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from workloads.documents.extraction.pdf.lines import GAP, MIN_RISE, Line

# Fewer lines on a side of a gutter are no column.
_MIN_COLUMN_LINES = 5
# Share of a region's lines that may cross a gutter, as titles and pictures' captions do.
_MAX_CROSSING = 0.25
# Share of lines after which the content changes its side: in columns it seldom does, in tables with each row.
_MAX_SWITCHES = 0.3
# Three quarters of the lines on each side are at least this long in text that was written by rows.
_PROSE_CHARACTERS = 28
_MAX_DEPTH = 3
# Least number and share of lines that end at the margin in justified text.
_MIN_JUSTIFIED, _JUSTIFIED_SHARE = 3, 0.2
# Lines whose baselines differ by less, in font sizes, are in one row.
_SAME_BASE = 0.45


@dataclass(slots=True)
class Row:
    """Lines on one baseline of a region. More than one are cells of a table, or a head with two parts."""

    cells: list[Line]
    page: int
    # The column that the row is in, and its edges.
    region: int = 0
    edges: tuple[float, float] = (0.0, 0.0)
    base: float = 0.0
    left: float = 0.0
    right: float = 0.0
    size: float = 0.0
    # The text, with a space between cells.
    text: str = ""
    # The level of the heading that the row is a part of, and that heading's number.
    level: int = 0
    heading: int = 0
    # Labels of the footnotes that the row has raised marks of.
    labels: frozenset[str] = field(default=frozenset())

    @property
    def is_mono(self) -> bool:
        """Return whether all of the row is in fonts of fixed pitch."""
        return all(cell.is_mono for cell in self.cells)


def rows_in_order(lines: list[Line], page: int) -> list[Row]:
    """Return the rows of a page in reading order."""
    rows: list[Row] = []
    for number, region in enumerate(_regions(lines, 0)):
        found = _rows_of(region, page)
        edges = (min(line.left for line in region), _right_edge(region))
        for row in found:
            row.region, row.edges = number, edges
        rows.extend(found)
    return rows


def _right_edge(lines: list[Line]) -> float:
    """Return where the lines of a column end: at most of them if they are justified, else at the longest."""
    ends = Counter(round(line.right) for line in lines if not line.is_mono)
    if not ends:
        return max(line.right for line in lines)
    end, count = ends.most_common(1)[0]
    return float(end if count >= _MIN_JUSTIFIED and count > _JUSTIFIED_SHARE * len(lines) else max(ends))


def _regions(lines: list[Line], depth: int) -> Iterator[list[Line]]:
    """Yield the lines of each column, with those that cross a gutter between the columns above and below them."""
    gutter = _gutter(lines) if depth < _MAX_DEPTH and len(lines) > 2 * _MIN_COLUMN_LINES else None
    if gutter is None:
        yield lines
        return
    sides: tuple[list[Line], list[Line]] = ([], [])
    crossing: list[Line] = []
    for line in sorted(lines, key=lambda line: line.base):
        if line.left < gutter < line.right:
            for side in sides:
                if side:
                    yield from _regions(side.copy(), depth + 1)
                    side.clear()
            crossing.append(line)
            continue
        if crossing:
            yield crossing
            crossing = []
        sides[line.left >= gutter].append(line)
    yield from (part for side in (*sides, crossing) if side for part in _regions(side, depth + 1))


def _gutter(lines: list[Line]) -> float | None:
    """Return the place between two columns, or None if the lines are one column or a table."""
    left, right = min(line.left for line in lines), max(line.right for line in lines)
    width = int(right - left) + 2
    if not 0 < width < 20_000:
        return None
    changes = [0] * (width + 1)
    for line in lines:
        changes[int(line.left - left)] += 1
        changes[int(line.right - left) + 1] -= 1
    begin, end = width // 5, width * 4 // 5
    covering = sum(changes[:begin])
    best, runs = len(lines), [(0, 0)]
    for place in range(begin, end):
        covering += changes[place]
        if covering < best:
            best, runs = covering, [(place, place)]
        elif covering == best:
            if runs[-1][1] == place - 1:
                runs[-1] = (runs[-1][0], place)
            else:
                runs.append((place, place))
    if best > _MAX_CROSSING * len(lines):
        return None
    first, last = max(runs, key=lambda run: run[1] - run[0])
    gutter = left + (first + last) / 2
    return gutter if _are_columns(lines, gutter) else None


def _are_columns(lines: list[Line], gutter: float) -> bool:
    """Return whether the lines at the sides of a gutter are columns of text, and no cells of a table.

    The content goes on within a column, and from cell to cell in a table; but some programs write text by rows too.
    """
    beside = [line for line in lines if not line.left < gutter < line.right]
    sides = [line.left >= gutter for line in beside]
    smaller = min(sum(sides), len(sides) - sum(sides))
    if smaller < _MIN_COLUMN_LINES:
        return False
    switches = sum(side != after for side, after in itertools.pairwise(sides))
    if switches <= _MAX_SWITCHES * smaller:
        return True
    lengths = [sorted(len(line.text) for line in beside if (line.left >= gutter) is side) for side in (False, True)]
    return all(of_side[len(of_side) // 4] >= _PROSE_CHARACTERS for of_side in lengths)


def _rows_of(lines: list[Line], page: int) -> list[Row]:
    lines = sorted(lines, key=lambda line: line.base)
    rows: list[Row] = []
    for line in lines:
        row = rows[-1] if rows else None
        if row is None or line.base - row.base > _SAME_BASE * max(line.size, row.size):
            base, left, right = line.base, line.left, line.right
            rows.append(Row([line], page, base=base, left=left, right=right, size=line.size, text=line.text))
        else:
            row.cells.append(line)
    for row in rows:
        if len(row.cells) > 1:
            _join_cells(row)
    return rows


def _join_cells(row: Row) -> None:
    """Join lines that no wide gap separates, as a script writes that draws each word by itself."""
    cells = sorted(row.cells, key=lambda cell: cell.left)
    main = max(cells, key=lambda cell: len(cell.text))
    for cell in cells:
        if cell.text.isdigit() and cell.base < main.base - MIN_RISE * main.size:
            cell.raised = ((0, len(cell.text)),)
    joined = cells[:1]
    for cell in cells[1:]:
        last = joined[-1]
        gap = cell.left - last.right
        if gap > GAP * main.size:
            joined.append(cell)
            continue
        space = " " if gap > 0.12 * main.size else ""
        offset = len(last.text) + len(space)
        last.text += space + cell.text
        last.raised += tuple((start + offset, end + offset) for start, end in cell.raised)
        last.right, last.ends_mono = max(last.right, cell.right), cell.ends_mono
        last.is_mono, last.words = last.is_mono and cell.is_mono, last.words + cell.words
    row.cells, row.size, row.base = joined, main.size, main.base
    row.left, row.right = joined[0].left, max(cell.right for cell in joined)
    row.text = " ".join(cell.text for cell in joined)
