"""Office documents with one part missing, replaced or packed otherwise."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from functools import cache

from tests.unit.workloads.documents.extraction.makers import make_docx, rewrite_docx
from tests.unit.workloads.documents.extraction.office_makers import make_pptx, make_xlsx, shape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CELL = '<row><c t="inlineStr"><is><t>Fair queues</t></is></c><c><v>7</v></c></row>'
DOCUMENT, WORKBOOK, SHOW = "word/document.xml", "xl/workbook.xml", "ppt/presentation.xml"
SHEET, SLIDE = "xl/worksheets/s1.xml", "ppt/slides/s1.xml"
TEMPLATE = "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml"
MACROS = "application/vnd.ms-word.document.macroEnabled.main+xml"


@cache
def word() -> bytes:
    """Return a Word document of one paragraph."""
    return make_docx("Fair queues")


@cache
def excel() -> bytes:
    """Return a workbook of one row."""
    return make_xlsx({"Plans": CELL})


@cache
def slides() -> bytes:
    """Return a presentation of one slide."""
    return make_pptx(shape("Fair queues"))


def without(content: bytes, part: str) -> bytes:
    """Return the document without a part."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name))
    return buffer.getvalue()


def replaced(content: bytes, part: str, old: str, new: str) -> bytes:
    """Return the document with a text in a part replaced."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        xml = archive.read(part).decode()
    assert old in xml
    return rewrite_docx(content, part, xml.replace(old, new).encode())


def added(content: bytes, *parts: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return the document with parts at its end, also if it has one of such a name."""
    buffer = io.BytesIO(content)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "a", method) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return buffer.getvalue()


def linked(content: bytes, part: str, target: str) -> bytes:
    """Return the document with a part that is a symbolic link."""
    info = zipfile.ZipInfo(part)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO(without(content, part))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(info, target)
    return buffer.getvalue()


def spoiled(content: bytes, part: str, method: int) -> bytes:
    """Return the document with a part whose packed bytes are noise; the directory declares nothing of it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        data = archive.read(part)
    content = added(without(content, part), (part, data), method=method)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo(part)
    begin = info.header_offset + 30 + len(part)
    return content[:begin] + b"\xff" * info.compress_size + content[begin + info.compress_size :]


def flagged(content: bytes) -> bytes:
    """Return the document with each part declared as encrypted."""
    data = bytearray(content)
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 8] |= 1
        place += 4
    return bytes(data)


def method_of(content: bytes, method: int) -> bytes:
    """Return the document with each part declared as packed by a method."""
    data = bytearray(content)
    for mark, at in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        place = 0
        while (place := data.find(mark, place)) >= 0:
            data[place + at : place + at + 2] = struct.pack("<H", method)
            place += 4
    return bytes(data)


def overlapped(content: bytes) -> bytes:
    """Return the document whose directory names the bytes of its first part again and again."""
    end = content.rfind(b"PK\x05\x06")
    start = content.find(b"PK\x01\x02")
    entry = content[start : content.find(b"PK\x01\x02", start + 4)]
    copies = b"".join(entry.replace(b"[Content_Types].xml", b"[Content_Type%04d.xml" % number) for number in range(900))
    directory = content[start:end] + copies
    count = content.count(b"PK\x01\x02") + 900
    return (
        content[:start]
        + directory
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    )


def word_of(body: str) -> bytes:
    """Return a Word document whose body is this XML."""
    xml = f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return rewrite_docx(word(), DOCUMENT, xml.encode())


def excel_of(rows: str) -> bytes:
    """Return a workbook whose sheet has these rows."""
    return make_xlsx({"Plans": rows})
