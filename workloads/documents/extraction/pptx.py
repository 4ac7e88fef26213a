"""Reader of PowerPoint presentations (.pptx) by lxml: the text of slides, tables and notes, in the order of slides."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.errors import FileDamagedError
from workloads.documents.extraction.office import (
    Package,
    inspect_archive,
    local_name,
    office_errors,
    refuse_old_format,
)
from workloads.documents.extraction.rows import table_blocks

_SHOW = "ppt/presentation.xml"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_TITLES = frozenset({"title", "ctrTitle"})
# Placeholders that repeat on every slide.
_REPEATED = frozenset({"sldNum", "ftr", "hdr", "dt", "sldImg"})


def read_pptx(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the titles, paragraphs, tables and notes of a presentation. A ``page`` is a slide.

    Raise `FileEncryptedError`, `FileDamagedError` or `FileTooComplexError` if it cannot be read.
    """
    refuse_old_format(data, ".pptx")
    inspect_archive(data, facts)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            package = Package(archive)
            parts = package.relations(_SHOW)
            slides = [parts[slide.get(_RELATION, "")] for slide in package.read(_SHOW).iter(f"{_P}sldId")]
            facts.pages = len(slides)
            for page, part in enumerate(slides, start=1):
                blocks = list(_slide(package, part, {"page": page}))
                facts.pages_without_text += not blocks
                yield from blocks
    except office_errors() as error:
        raise FileDamagedError("The presentation is damaged.") from error


def _slide(package: Package, part: str, place: dict[str, int]) -> Iterator[Block]:
    for shape in package.read(part).iter(f"{_P}sp", f"{_P}graphicFrame"):
        kind = _placeholder(shape)
        if kind in _TITLES:
            title = " ".join(_paragraphs(shape))
            if title:
                yield Block(title, place, 1)
        elif kind not in _REPEATED:
            yield from _body(shape, place)
    for target in package.relations(part).values():
        if "/notesSlides/" in target:
            shapes = package.read(target).iter(f"{_P}sp")
            notes = [text for shape in shapes if _placeholder(shape) not in _REPEATED for text in _paragraphs(shape)]
            if notes:
                yield Block("\n".join(notes), place, kind=BlockKind.FOOTNOTE)


def _body(shape: Any, place: dict[str, int]) -> Iterator[Block]:
    for table in shape.iter(f"{_A}tbl"):
        properties = table.find(f"{_A}tblPr")
        rows = [
            ([" ".join(_paragraphs(cell)) for cell in row.iterchildren(f"{_A}tc")], place)
            for row in table.iterchildren(f"{_A}tr")
        ]
        yield from table_blocks(rows, has_header=properties is not None and properties.get("firstRow") == "1")
    if shape.tag == f"{_P}sp":
        yield from (Block(text, place) for text in _paragraphs(shape))


def _placeholder(shape: Any) -> str:
    """Return the kind of a placeholder; an empty string for other shapes, and for placeholders of any content."""
    found = next(shape.iter(f"{_P}ph"), None)
    return "" if found is None else str(found.get("type", ""))


def _paragraphs(element: Any) -> Iterator[str]:
    for paragraph in element.iter(f"{_A}p"):
        pieces = (
            "\n" if local_name(node) == "br" else node.text or ""
            for node in paragraph.iter(f"{_A}t", f"{_A}br")
            if node.getparent().get("type") != "slidenum"
        )
        text = "".join(pieces).strip()
        if text:
            yield text
