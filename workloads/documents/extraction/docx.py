"""Reader of Word documents by python-docx, which checks the archive first."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Iterator

import docx
from docx.document import Document
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml import etree

from workloads.documents.blocks import Block
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


def read_docx(data: bytes) -> Iterator[Block]:
    """Yield headings, paragraphs and table rows in order."""
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
    try:
        _inspect_end(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
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


def _inspect_end(data: bytes) -> None:
    """Reject an archive by its end record before its directory is read, which costs 300 bytes per part.

    The record is the one that `zipfile` uses, so that no other reading of the file can differ from it.
    """
    end = zipfile._EndRecData(io.BytesIO(data))  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way
    if end is None:
        raise zipfile.BadZipFile
    parts, size = end[zipfile._ECD_ENTRIES_TOTAL], end[zipfile._ECD_SIZE]  # type: ignore[attr-defined]  # noqa: SLF001
    if parts > MAX_PARTS or size > MAX_DIRECTORY_BYTES:
        raise FileTooComplexError(
            f"The Word document has too many parts ({parts}) or too large a directory ({size} bytes)."
        )


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
    for item in document.iter_inner_content():
        if isinstance(item, Paragraph):
            number += 1
            if item.text.strip():
                yield Block(item.text, {"paragraph": number}, _level_of(item))
        else:
            for text in _rows_of(item):
                number += 1
                yield Block(text, {"paragraph": number})


def _level_of(paragraph: Paragraph) -> int:
    style = paragraph.style.name if paragraph.style is not None else ""
    if style == "Title":
        return 1
    match = _HEADING.match(style or "")
    return int(match[1]) if match else 0


def _rows_of(table: Table) -> Iterator[str]:
    # The cells' own elements: `row.cells` is quadratic in the table's size and repeats merged cells.
    for row in table._tbl.tr_lst:  # noqa: SLF001 - there is no public way that is linear
        cells = ("".join(node.text or "" for node in cell.iter(qn("w:t"))).strip() for cell in row.tc_lst)
        text = " | ".join(cell for cell in cells if cell)
        if text:
            yield text
