"""The reader of PDF files, by PDFium. It reads pages in windows, so that memory does not grow with their number."""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pypdfium2
from pypdfium2 import raw

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.limits import MAX_PAGES
from workloads.documents.extraction.pdf.flow import Flow
from workloads.documents.extraction.pdf.headings import Outline, mark_headings, outline_of
from workloads.documents.extraction.pdf.joining import Joiner
from workloads.documents.extraction.pdf.lines import LineReader
from workloads.documents.extraction.pdf.margins import Page, remove_contents, remove_running_rows, take_notes
from workloads.documents.extraction.pdf.order import Row, rows_in_order
from workloads.documents.extraction.pdf.scans import ScanReader

# Some writers append to a PDF after its end mark, but not this much.
_TAIL_BYTES = 4096
# Pages that are looked at together: for running heads, sizes of fonts, and words.
WINDOW_PAGES = 400
# A page with more is a drawing; its text is not read.
MAX_CHARACTERS, MAX_OBJECTS = 200_000, 200_000
# Fewer rows do not show where lines end.
_MIN_ROWS = 3
# Distances of lines that text seldom leaves, in font sizes, and that of most texts.
_MIN_LEADING, _DEFAULT_LEADING, _MAX_LEADING = 0.5, 1.2, 2.2


def read_pdf(data: bytes, facts: Facts, scans: ScanReader | None = None) -> Iterator[Block]:
    """Yield the headings, paragraphs, tables, listings and footnotes of a PDF file in reading order.

    A page that cannot be read is a warning. ``scans`` reads pages without text, if given. Raise `FileEncryptedError`,
    `FileDamagedError` or `FileTooComplexError` if the file cannot be read.
    """
    # PDFium repairs a truncated file without an error, so half a document would pass as whole.
    if b"%%EOF" not in data[-_TAIL_BYTES:]:
        raise FileDamagedError("The PDF is truncated: its end is missing.")
    document = _open(data)
    try:
        count = len(document)
        if count == 0:
            raise FileDamagedError("The PDF has no pages.")
        if count > MAX_PAGES:
            raise FileTooComplexError(f"The PDF has {count} pages; at most {MAX_PAGES} are allowed.")
        facts.pages = count
        _warn_of_unread(document, facts)
        outline = outline_of(document)
        reader = _PageReader(document, facts, scans)
        for start in range(0, count, WINDOW_PAGES):
            with _without_collection():
                pages = [reader.read(number) for number in range(start + 1, min(start + WINDOW_PAGES, count) + 1)]
                blocks = list(_blocks_of(pages, outline))
            yield from blocks
        if reader.damaged == count:
            raise FileDamagedError("The pages of the PDF are damaged.")
    finally:
        document.close()


@contextmanager
def _without_collection() -> Iterator[None]:
    """Suspend the collection of cycles, of which there are none among lines; it took a sixth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        reason = raw.FPDF_GetLastError()
        if reason in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY) or "password" in str(error).lower():
            raise FileEncryptedError from error
        raise FileDamagedError("The PDF cannot be opened: it is damaged.") from error


def _warn_of_unread(document: pypdfium2.PdfDocument, facts: Facts) -> None:
    if document.count_attachments():
        facts.warn("The attachments of the PDF are not indexed.")
    if document.get_formtype() != raw.FORMTYPE_NONE:
        facts.warn("What is entered in the form fields of the PDF is not indexed.")


class _PageReader:
    """Reader of the pages of one document, which counts those that it cannot read."""

    def __init__(self, document: pypdfium2.PdfDocument, facts: Facts, scans: ScanReader | None) -> None:
        self._document, self._facts, self._scans, self._lines = document, facts, scans, LineReader()
        self.damaged = 0

    def read(self, number: int) -> Page:
        """Return a page; without rows if it is damaged or has no text."""
        rows: list[list[Row]] = []
        try:
            rows = self._rows_of(number)
        except pypdfium2.PdfiumError:
            self.damaged += 1
            self._facts.warn(f"Page {number} is damaged; it was not read.")
        if not any(rows):
            self._facts.pages_without_text += 1
        return Page(number, rows[0] if rows else [], [row for turned in rows[1:] for row in turned], [])

    def _rows_of(self, number: int) -> list[list[Row]]:
        page = self._document[number - 1]
        try:
            if raw.FPDFPage_CountObjects(page.raw) > MAX_OBJECTS:
                self._facts.warn(f"Page {number} has more than {MAX_OBJECTS} objects; it was not read.")
                return []
            text = page.get_textpage()
            try:
                if text.count_chars() > MAX_CHARACTERS:
                    self._facts.warn(f"Page {number} has more than {MAX_CHARACTERS} characters; it was not read.")
                    return []
                turned = [rows_in_order(lines, number) for lines in self._lines.read(text)]
            finally:
                text.close()
            return turned if any(turned) or self._scans is None else self._recognized(self._scans, page, number)
        finally:
            page.close()

    def _recognized(self, scans: ScanReader, page: pypdfium2.PdfPage, number: int) -> list[list[Row]]:
        lines = scans.read(page, number)
        if not lines:
            return []
        self._facts.pages_recognized += 1
        return [rows_in_order(lines, number)]


def _blocks_of(pages: Sequence[Page], outline: Outline) -> Iterator[Block]:
    size, leading = _measures(pages)
    for page in pages:
        remove_contents(page)
    remove_running_rows(pages, leading * size, size)
    _widen_edges(pages)
    for page in pages:
        take_notes(page, size)
    mark_headings(pages, outline, size)
    joiner = Joiner(row.text for page in pages for row in (*page.rows, *page.notes))
    yield from Flow(joiner, leading).blocks(pages)


def _widen_edges(pages: Sequence[Page]) -> None:
    """Set the right edge of a page of one column, if few pages have it, to that of others: its lines may all be short.

    Left and right pages may have different ones.
    """
    single = [page for page in pages if page.rows and not page.rows[-1].region]
    ends = Counter(round(page.rows[0].edges[1]) for page in single if len(page.rows) >= _MIN_ROWS)
    usual = sorted(end for end, count in ends.items() if count >= max(2, len(single) / 10))
    for page in single:
        end = page.rows[0].edges[1]
        if round(end) not in usual:
            wider = next((place for place in usual if place > end), math.inf if len(page.rows) < _MIN_ROWS else end)
            for row in page.rows:
                row.edges = (row.edges[0], wider)


def _measures(pages: Sequence[Page]) -> tuple[float, float]:
    """Return the size of the text's font, and the distance of its lines in font sizes."""
    sizes: Counter[float] = Counter()
    distances: Counter[float] = Counter()
    for page in pages:
        last: Row | None = None
        for row in page.rows:
            if not row.is_mono:
                sizes[round(row.size, 1)] += len(row.text)
            if last is not None and last.region == row.region and 0 < row.base - last.base < _MAX_LEADING * row.size:
                distances[round((row.base - last.base) / row.size, 2)] += 1
            last = row
    size = sizes.most_common(1)[0][0] if sizes else 10.0
    leading = distances.most_common(1)[0][0] if distances else _DEFAULT_LEADING
    return size, max(leading, _MIN_LEADING)
