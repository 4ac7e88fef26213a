"""Reader of Excel workbooks (.xlsx) by lxml: the values of their cells, row by row. Formulas are not computed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from lxml import etree

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.errors import FileDamagedError
from workloads.documents.extraction.office import (
    Package,
    inspect_archive,
    local_name,
    office_errors,
    refuse_old_format,
)
from workloads.documents.extraction.table import named_rows

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_WORKBOOK = "xl/workbook.xml"
_MAX_COLUMNS, _MAX_ROWS = 1_000, 1_048_576
_COLUMN = re.compile(r"[A-Z]{1,3}")
# Built-in formats of dates and times, and signs that only these have in custom formats.
_DATE_FORMATS = frozenset([*range(14, 23), *range(45, 48)])
_DATE_SIGNS = re.compile(r"[ymdhs]", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*+"|\[[^\[\]]*+\]|\\.')
_EPOCH, _EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 - cells have no zone
_MAX_SERIAL = 2_958_465


def read_xlsx(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the name of each visible sheet as a heading, and its rows, with the names of the columns if they have any.

    Raise `FileEncryptedError`, `FileDamagedError` or `FileTooComplexError` if it cannot be read.
    """
    refuse_old_format(data, ".xlsx")
    inspect_archive(data, facts)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            package = Package(archive)
            book = _Book(package)
            for name, part in book.sheets(facts):
                rows = named_rows(book.rows(part, facts))
                first = next(rows, None)
                if first is not None:
                    yield Block(name, {}, level=1)
                    yield first
                    yield from rows
    except office_errors() as error:
        raise FileDamagedError("The Excel workbook is damaged.") from error


class _Book:
    """The parts of a workbook that its sheets refer to."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._workbook = package.read(_WORKBOOK)
        if self._workbook.tag != f"{_MAIN}workbook":
            raise FileDamagedError("The workbook has the strict format of Office Open XML: save it as .xlsx.")
        properties = self._workbook.find(f"{_MAIN}workbookPr")
        is_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
        self._epoch = _EPOCH_1904 if is_1904 else _EPOCH
        self._strings = self._shared_strings()
        self._dates = self._date_styles()

    def sheets(self, facts: Facts) -> Iterator[tuple[str, str]]:
        """Yield the name and the part of each visible sheet."""
        parts = self._package.relations(_WORKBOOK)
        for sheet in self._workbook.iter(f"{_MAIN}sheet"):
            name, part = sheet.get("name", ""), parts.get(sheet.get(_RELATION, ""), "")
            if sheet.get("state", "visible") != "visible":
                facts.warn(f"The hidden sheet {name} is not indexed.")
            elif not self._package.has(part):
                facts.warn(f"The sheet {name} is missing in the file.")
            elif "/worksheets/" in part:
                yield name, part

    def rows(self, part: str, facts: Facts) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the rows of a sheet that have a value, each with its number."""
        for number, row in enumerate(self._package.iterate(part, f"{_MAIN}row"), start=1):
            cells: list[str] = []
            for cell in row.iterchildren(f"{_MAIN}c"):
                column = _column(cell.get("r", ""), len(cells))
                if column >= _MAX_COLUMNS:
                    facts.warn(f"A sheet has more than {_MAX_COLUMNS} columns; the others are not indexed.")
                    break
                cells.extend([""] * (column + 1 - len(cells)))
                cells[column] = self._value(cell)
            if any(cells):
                yield _bounded(row.get("r") or number, _MAX_ROWS), cells

    def _value(self, cell: Any) -> str:
        kind, value = cell.get("t", "n"), cell.findtext(f"{_MAIN}v") or ""
        if kind == "s":
            return self._strings[_bounded(value, len(self._strings))]
        if kind == "inlineStr":
            return _text_of(cell)
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind == "n" and value and int(cell.get("s", "0")) in self._dates:
            return self._date(float(value))
        return value

    def _date(self, serial: float) -> str:
        if not 0 <= serial <= _MAX_SERIAL:
            return str(serial)
        moment = self._epoch + timedelta(seconds=round(serial * 86_400))
        if serial < 1:
            return moment.time().isoformat()
        return moment.date().isoformat() if serial == int(serial) else moment.isoformat(" ")

    def _shared_strings(self) -> list[str]:
        part = "xl/sharedStrings.xml"
        if not self._package.has(part):
            return []
        return [_text_of(item) for item in self._package.iterate(part, f"{_MAIN}si")]

    def _date_styles(self) -> frozenset[int]:
        """Return the indexes of the cell styles that show a number as a date or a time."""
        if not self._package.has("xl/styles.xml"):
            return frozenset()
        styles = self._package.read("xl/styles.xml")
        custom: Mapping[str, str] = {
            form.get("numFmtId", ""): form.get("formatCode", "") for form in styles.iter(f"{_MAIN}numFmt")
        }
        formats = styles.find(f"{_MAIN}cellXfs")
        found = [] if formats is None else [form.get("numFmtId", "0") for form in formats]
        return frozenset(index for index, form in enumerate(found) if _is_date(form, custom.get(form, "")))


def _is_date(number: str, code: str) -> bool:
    return bool(_DATE_SIGNS.search(_QUOTED.sub("", code))) if code else int(number) in _DATE_FORMATS


def _bounded(value: str | int, most: int) -> int:
    """Return an integer of a file; raise ValueError if it is negative, larger than ``most`` or none."""
    number = int(value)
    if not 0 <= number <= most:
        raise ValueError(value)
    return number


def _column(reference: str, otherwise: int) -> int:
    letters = _COLUMN.match(reference)
    if letters is None:
        return otherwise
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _text_of(element: etree._Element) -> str:
    """Return the text of a string, without the readings of its ideographs."""
    texts = (node for node in element.iter(f"{_MAIN}t") if local_name(node.getparent()) != "rPh")
    return "".join(node.text or "" for node in texts)
