"""Reader of Word documents (.docx) by python-docx. The archive is checked before it is read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from docx.document import Document
from docx.opc.constants import CONTENT_TYPE
from docx.opc.part import PartFactory
from docx.oxml.ns import qn
from docx.package import Package
from docx.parts.document import DocumentPart
from lxml import etree

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.errors import FileDamagedError
from workloads.documents.extraction.office import inspect_archive, office_errors, refuse_old_format
from workloads.documents.extraction.rows import Grid, Row, table_blocks

_HEADING = re.compile(r"(?:Heading|heading) ([1-6])$")
_CODE_STYLE = re.compile(r"code|listing|preformatted|verbatim|source|macro text", re.IGNORECASE)
_CODE_FONT = re.compile(r"courier|consolas|mono|menlo|monaco|fixed", re.IGNORECASE)
_PARAGRAPH, _TABLE, _TEXT, _BOX = qn("w:p"), qn("w:tbl"), qn("w:t"), qn("w:txbxContent")
_NOTES = {qn("w:footnoteReference"): "footnotes", qn("w:endnoteReference"): "endnotes"}
_COMMENTS = "comments"
_MARKS = {**_NOTES, qn("w:commentReference"): _COMMENTS}
_MAX_AUTHOR_CHARACTERS = 100
_SIGNS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
# Containers of what stands where they stand: content controls, insertions, custom XML.
_WRAPPERS = frozenset(qn(f"w:{tag}") for tag in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
# Properties, deleted text, and the older form of a text box, which repeats the newer.
_LEFT_OUT = frozenset(
    [
        "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
        *(qn(f"w:{tag}") for tag in ("pPr", "rPr", "tcPr", "trPr", "sdtPr", "del", "moveFrom", "txbxContent")),
    ]
)

# Documents with macros and templates are documents; `docx.Document` refuses them.
_KINDS_OF_DOCUMENTS = (
    CONTENT_TYPE.WML_DOCUMENT_MAIN,
    "application/vnd.ms-word.document.macroEnabled.main+xml",
    "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
)
PartFactory.part_type_for.update(dict.fromkeys(_KINDS_OF_DOCUMENTS, DocumentPart))


def read_docx(data: bytes, facts: Facts, *, reads_comments: bool = False) -> Iterator[Block]:
    """Yield the headings, paragraphs, listings, table rows, text boxes and notes of a Word document in order.

    Inserted text and the text of content controls belong to it, deleted text does not. Comments follow their paragraph
    with their author, if they are read. Raise `FileEncryptedError`, `FileDamagedError` or `FileTooComplexError` if it
    cannot be read.
    """
    refuse_old_format(data, ".docx")
    inspect_archive(data, facts)
    try:
        part = Package.open(io.BytesIO(data)).main_document_part
        document = part.document
        if next(document.element.body.iter(qn("w:altChunk")), None) is not None:
            facts.warn("The inserted files of the document are not indexed.")
        reader = _Reader(_styles_of(document), _notes_of(document, reads_comments=reads_comments))
        yield from _joined(reader.read(document.element.body))
    except office_errors() as error:
        raise FileDamagedError("The Word document is damaged.") from error


@dataclass(slots=True)
class _Reader:
    """Position in a document; ``styles`` are names by id, ``notes`` texts by kind and id."""

    styles: dict[str, str]
    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    number: int = 0

    def read(self, container: Any) -> Iterator[Block]:
        """Yield the blocks of an element that contains paragraphs and tables."""
        for element in _unwrapped(container):
            if element.tag == _PARAGRAPH:
                yield from self._read_paragraph(element)
            elif element.tag == _TABLE:
                rows = list(self._rows_of(element))
                yield from table_blocks(rows, has_header=_has_header(element))
                yield from self._read_attached(element)

    def _read_paragraph(self, element: Any) -> Iterator[Block]:
        self.number += 1
        text, place = _text_of(element), {"paragraph": self.number}
        style = self.styles.get(_value(element, "w:pPr/w:pStyle") or "", "")
        if text.strip() and not style.lower().startswith("toc "):
            level = _level_of(style)
            yield Block(text, place, level, BlockKind.PARAGRAPH if level else _kind_of(element, style))
        elif not text.strip():
            yield Block("", place, kind=BlockKind.CODE)  # a blank line, if it is between lines of code
        yield from self._read_attached(element)

    def _read_attached(self, element: Any) -> Iterator[Block]:
        """Yield the notes and the text boxes of a paragraph or a table."""
        for mark in element.iter(*_MARKS):
            note = self.notes.pop((_MARKS[mark.tag], mark.get(qn("w:id")) or ""), "")
            if note:
                yield Block(note, {"paragraph": self.number}, kind=BlockKind.FOOTNOTE)
        for box in element.iter(_BOX):
            if not any(parent.tag in _LEFT_OUT for parent in _parents(box, element)):
                yield from self.read(box)

    def _rows_of(self, table: Any) -> Iterator[Row]:
        """Yield the rows of a table; `row.cells` of python-docx is quadratic, and repeats merged cells."""
        grid = Grid()
        for row in _unwrapped(table):
            if row.tag != qn("w:tr") or row.find(qn("w:trPr") + "/" + qn("w:del")) is not None:
                continue
            self.number += 1
            cells = [cell for cell in _unwrapped(row) if cell.tag == qn("w:tc")]
            texts = [" ".join(_text_of(paragraph) for paragraph in cell.iter(_PARAGRAPH)) for cell in cells]
            spans = [(_value(cell, "w:tcPr/w:gridSpan"), None) for cell in cells]
            yield grid.place(texts, spans), {"paragraph": self.number}


def _joined(blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield the blocks with neighbouring paragraphs of code as one listing."""
    listing: list[Block] = []
    for block in blocks:
        if block.kind is BlockKind.CODE:
            if listing or block.text:
                listing.append(block)
            continue
        yield from _listing(listing)
        listing.clear()
        yield block
    yield from _listing(listing)


def _listing(blocks: list[Block]) -> Iterator[Block]:
    if blocks:
        text = "\n".join(block.text for block in blocks).rstrip("\n")
        yield Block(text, blocks[0].location, kind=BlockKind.CODE)


def _unwrapped(container: Any) -> Iterator[Any]:
    for element in container.iterchildren():
        if element.tag in _WRAPPERS:
            yield from _unwrapped(element)
        else:
            yield element


def _text_of(element: Any) -> str:
    return "".join(_pieces_of(element))


def _pieces_of(element: Any) -> Iterator[str]:
    for child in element.iterchildren():
        if child.tag == _TEXT:
            yield child.text or ""
        elif child.tag in _SIGNS:
            yield _SIGNS[child.tag]
        elif child.tag not in _LEFT_OUT:
            yield from _pieces_of(child)


def _level_of(style: str) -> int:
    match = _HEADING.match(style)
    return 1 if style == "Title" else int(match[1]) if match else 0


def _kind_of(paragraph: Any, style: str) -> BlockKind:
    if _CODE_STYLE.search(style) or _is_monospaced(paragraph):
        return BlockKind.CODE
    if style.lower() == "caption":
        return BlockKind.CAPTION
    is_item = style.startswith("List") or paragraph.find(qn("w:pPr") + "/" + qn("w:numPr")) is not None
    return BlockKind.LIST_ITEM if is_item else BlockKind.PARAGRAPH


def _is_monospaced(paragraph: Any) -> bool:
    """Return True if each run of a paragraph has a font of code."""
    fonts = [run.find(qn("w:rPr") + "/" + qn("w:rFonts")) for run in paragraph.iter(qn("w:r"))]
    return bool(fonts) and all(font is not None and _CODE_FONT.search(font.get(qn("w:ascii")) or "") for font in fonts)


def _has_header(table: Any) -> bool:
    """Return True if the first row is marked as a header, or formatted as one."""
    if next(table.iter(qn("w:tblHeader")), None) is not None:
        return True
    look = table.find(qn("w:tblPr") + "/" + qn("w:tblLook"))
    return look is not None and look.get(qn("w:firstRow")) in {"1", "true"}


def _styles_of(document: Document) -> dict[str, str]:
    return {style.style_id: style.name or "" for style in document.styles}


def _notes_of(document: Document, *, reads_comments: bool) -> dict[tuple[str, str], str]:
    """Return the texts of footnotes and endnotes, and of comments if they are read, by their kind and id."""
    kinds = {*_NOTES.values(), *((_COMMENTS,) if reads_comments else ())}
    notes: dict[tuple[str, str], str] = {}
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in kinds and not relation.is_external:
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            for note in etree.fromstring(relation.target_part.blob, parser):
                text = "\n".join(_text_of(paragraph) for paragraph in note.iter(_PARAGRAPH)).strip()
                if text and kind == _COMMENTS:
                    author = (note.get(qn("w:author")) or "")[:_MAX_AUTHOR_CHARACTERS]
                    text = f"Comment by {author}: {text}" if author else f"Comment: {text}"
                notes[kind, note.get(qn("w:id")) or ""] = text
    return notes


def _parents(element: Any, until: Any) -> Iterator[Any]:
    while (element := element.getparent()) is not until:
        yield element


def _value(element: Any, path: str) -> str | None:
    """Return the value of the property at a path such as ``w:pPr/w:pStyle``, or None."""
    found = element.find("/".join(qn(step) for step in path.split("/")))
    return None if found is None else found.get(qn("w:val"))
