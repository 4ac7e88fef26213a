"""Reader of Word documents (.docx) by python-docx. The archive is checked before it is read."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.document import Document
from docx.oxml.ns import qn
from docx.text.paragraph import Paragraph
from lxml import etree

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.limits import (
    MAX_DIRECTORY_BYTES,
    MAX_PACKING_RATIO,
    MAX_PARTS,
    MAX_UNPACKED_BYTES,
    MIN_BYTES_FOR_RATIO,
)
from workloads.documents.extraction.sniffing import OLE_MAGIC, OLE_STREAM_OF_ENCRYPTED_DOCX

_ENCRYPTED_FLAG = 0x1
_HEADING = re.compile(r"(?:Heading|heading) ([1-6])$")
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


def read_docx(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the headings, paragraphs and table rows of a Word document in order.

    Raise `FileEncryptedError`, `FileDamagedError` or `FileTooComplexError` if it cannot be read.
    """
    if data.startswith(OLE_MAGIC):
        if OLE_STREAM_OF_ENCRYPTED_DOCX in data:
            raise FileEncryptedError
        raise FileDamagedError("The file has an old Word format, not that of a .docx: save it as .docx.")
    _inspect_archive(data)
    try:
        document = docx.Document(io.BytesIO(data))
        yield from _blocks_of(document)
    except (KeyError, ValueError, zipfile.BadZipFile, etree.XMLSyntaxError, AttributeError, OSError) as error:
        raise FileDamagedError("The Word document is damaged.") from error


def _inspect_archive(data: bytes) -> None:
    """Reject bombs by the archive's directory, and XML entities by the parts' content.

    A false directory gains nothing: no more than the declared size of a part is unpacked.
    """
    file = _ArchiveFile(data)
    try:
        with zipfile.ZipFile(file) as archive:
            file.is_open = True
            parts = archive.infolist()
            _refuse_bombs(parts)
            if any(part.flag_bits & _ENCRYPTED_FLAG for part in parts):
                raise FileEncryptedError
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    _refuse_entities(archive.read(part))
    except (zipfile.BadZipFile, struct.error, EOFError, OSError, NotImplementedError) as error:
        raise FileDamagedError("The Word document is truncated or damaged.") from error
    except zipfile.zlib.error as error:  # type: ignore[attr-defined]
        raise FileDamagedError("The Word document is damaged.") from error


class _ArchiveFile(io.BytesIO):
    """A file that `zipfile` cannot open if the archive's directory is too large.

    `zipfile` reads a directory in one piece and then makes an object of several hundred bytes for each part. Nothing
    else that it reads to open an archive is larger than 64 KiB.
    """

    is_open = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_open and size is not None and size > MAX_DIRECTORY_BYTES:
            raise FileTooComplexError(f"The Word document has a directory of {size} bytes.")
        return super().read(size)


def _refuse_bombs(parts: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED_BYTES:
        raise FileTooComplexError(f"The Word document is too large unpacked: {unpacked} bytes in {len(parts)} parts.")
    for part in parts:
        if part.file_size > MIN_BYTES_FOR_RATIO and part.file_size > MAX_PACKING_RATIO * max(part.compress_size, 1):
            raise FileTooComplexError("The Word document is a compression bomb.")


def _refuse_entities(xml: bytes) -> None:
    # The format forbids document type declarations (ECMA-376 part 2): one serves to read other files or to expand
    # without bound. Without its zero bytes, UTF-16 reads as ASCII does.
    plain = xml.replace(b"\0", b"") if b"\0" in xml[:64] else xml
    if any(declaration in plain for declaration in _DECLARATIONS):
        raise FileDamagedError("The Word document declares XML entities, which the format forbids.")


def _blocks_of(document: Document) -> Iterator[Block]:
    number = 0
    # The elements of the same items: a `Table` has no public way to its cells whose time is linear.
    elements = document.element.body.iterchildren(qn("w:p"), qn("w:tbl"))
    for item, element in zip(document.iter_inner_content(), elements, strict=True):
        if isinstance(item, Paragraph):
            number += 1
            if item.text.strip():
                yield Block(item.text, {"paragraph": number}, _level_of(item))
        else:
            for text in _rows_of(element):
                number += 1
                yield Block(text, {"paragraph": number})


def _level_of(paragraph: Paragraph) -> int:
    style = paragraph.style.name if paragraph.style is not None else ""
    if style == "Title":
        return 1
    match = _HEADING.match(style or "")
    return int(match[1]) if match else 0


def _rows_of(table: Any) -> Iterator[str]:
    """Yield the texts of the rows of a `w:tbl` element; `row.cells` is quadratic, and repeats merged cells."""
    for row in table.iterchildren(qn("w:tr")):
        parts = (cell.iter(qn("w:t")) for cell in row.iterchildren(qn("w:tc")))
        cells = ("".join(node.text or "" for node in nodes).strip() for nodes in parts)
        text = " | ".join(cell for cell in cells if cell)
        if text:
            yield text
