"""Reader of CSV files. Each row repeats the names of the columns, so that a chunk from the middle has them too."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from workloads.documents.blocks import Block, BlockKind, Facts, row_of
from workloads.documents.extraction.decoding import decode
from workloads.documents.extraction.errors import FileDamagedError

# The detection takes time by the square of its input.
_SNIFFED_CHARACTERS = 8 * 1024
_DELIMITERS = ",;\t|"
_MAX_CELL_CHARACTERS = 10 * 1024 * 1024


def read_csv(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield one block per row of a CSV file. ``row`` counts the rows of the file, including its header."""
    text = decode(data, facts)
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    try:
        yield from named_rows(enumerate(csv.reader(io.StringIO(text, newline=""), _dialect_of(text)), start=1))
    except csv.Error as error:
        raise FileDamagedError(f"The table cannot be read: {error}.") from error


def named_rows(rows: Iterable[tuple[int, Sequence[str]]]) -> Iterator[Block]:
    """Yield one block per row that is not empty, with the names of the columns if the first row has them.

    A row is given with its number.
    """
    header: Sequence[str] = ()
    is_header_alone = False
    for index, (number, row) in enumerate(rows):
        cells = [cell.strip() for cell in row]
        if not index and _is_header(cells):
            header, header_number, is_header_alone = cells, number, True
        elif any(cells):
            is_header_alone = False
            yield Block(_sentence_of(cells, header), {"row": number}, kind=BlockKind.TABLE)
    if is_header_alone:
        yield Block(_sentence_of(header, ()), {"row": header_number}, kind=BlockKind.TABLE)


def _dialect_of(text: str) -> type[csv.Dialect]:
    try:
        return csv.Sniffer().sniff(text[:_SNIFFED_CHARACTERS], delimiters=_DELIMITERS)
    except csv.Error:
        return csv.excel  # one column, or too irregular to detect


def _is_header(cells: Sequence[str]) -> bool:
    """Return True for a first row of distinct words, none empty and none a number."""
    return len(set(cells)) == len(cells) > 0 and all(cell and not _is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").replace(",", "").lstrip("+-").isdecimal()


def _sentence_of(cells: Sequence[str], header: Sequence[str]) -> str:
    if not header:
        return row_of(cells)
    names = [*header, *[""] * (len(cells) - len(header))]
    pairs = ((name, cell) for name, cell in zip(names, cells, strict=False) if cell)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs)
