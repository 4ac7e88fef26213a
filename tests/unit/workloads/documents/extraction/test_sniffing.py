"""Recognition of a file's type by its first bytes and its name."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.unit.workloads.documents.extraction.makers import make_docx, make_pdf, make_zip
from workloads.documents.extraction.sniffing import (
    HEAD_BYTES,
    OLE_MAGIC,
    OLE_STREAM_OF_ENCRYPTED_DOCX,
    ContentType,
    sniff,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(range(256))
ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 64
LEGACY_WORD = OLE_MAGIC + b"\0" * 600
ENCRYPTED_WORD = OLE_MAGIC + b"\0" * 500 + OLE_STREAM_OF_ENCRYPTED_DOCX


def parts(*names: str) -> bytes:
    """Return an archive of empty parts with these names, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return buffer.getvalue()


class FirstBytes(io.BytesIO):
    """File that fails if more than its first bytes are read."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0
        assert self.tell() + size <= HEAD_BYTES
        return super().read(size)


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("a.pdf", make_pdf("x"), ContentType.PDF),
        ("a.txt", make_pdf("x"), ContentType.PDF),  # the content takes precedence over the name
        ("a.pdf", b"From: mail\n\n" + make_pdf("x"), ContentType.PDF),  # lines before the mark
        ("a.pdf", make_pdf("x")[:200], ContentType.PDF),  # truncated: fails when it is read
        ("a.docx", make_docx("x"), ContentType.DOCX),
        ("a", make_docx("x"), ContentType.DOCX),
        ("a.docx", make_docx("x")[:2_000], ContentType.DOCX),  # no directory left to read
        ("a.docx", ENCRYPTED_WORD, ContentType.DOCX),  # fails as encrypted when it is read
        ("a.md", "# 标题".encode(), ContentType.MARKDOWN),
        ("a.MARKDOWN", b"text", ContentType.MARKDOWN),
        ("a.csv", "租户,权重\n".encode("gb18030"), ContentType.CSV),
        ("a.tsv", b"a\tb\n", ContentType.CSV),
        ("a.html", b"<p>no root element</p>", ContentType.HTML),
        ("page", b"<!doctype html><title>x</title>", ContentType.HTML),  # recognised by its beginning
        ("a.txt", b"\n<?xml version='1.0'?>\n<!-- c --><html>", ContentType.HTML),
        ("README", b"plain", ContentType.TEXT),
        ("a.txt", "公平调度器选择虚拟时间最小的合格子节点".encode("utf-16"), ContentType.TEXT),
        ("a.txt", ("长" * 40_000).encode(), ContentType.TEXT),  # the head ends inside a character
        ("a.png", PNG, None),
        ("a.txt", PNG, None),  # a picture with the name of a text
        ("a.pdf", PNG, None),
        ("a.pdf", b"no PDF at all", None),  # a text with the name of a PDF
        ("a.docx", b"no archive at all", None),
        ("a.docx", make_zip(readme=b"x"), None),  # an archive, not a Word document
        ("a.xlsx", make_zip(workbook=b"x"), None),
        ("a.docx", parts("[Content_Types].xml", "word/document.xml"), ContentType.DOCX),
        ("report", parts("[Content_Types].xml", "word/document.xml"), ContentType.DOCX),
        ("a.docx", parts("[Content_Types].xml", "docProps/thumbnail.jpeg"), ContentType.DOCX),  # by its name
        ("a.docx", parts("[Content_Types].xml", "xl/workbook.xml"), ContentType.XLSX),  # its parts count, not its name
        ("a.xlsx", parts("[Content_Types].xml", "xl/workbook.xml"), ContentType.XLSX),
        ("a.pptx", parts("[Content_Types].xml", "ppt/presentation.xml"), ContentType.PPTX),
        ("a.vsdx", parts("[Content_Types].xml", "visio/document.xml"), None),
        ("a.odt", parts("mimetype", "content.xml"), None),
        ("a.txt", "zwei Bytes\n".encode("utf-16-le"), ContentType.TEXT),  # no byte-order mark
        ("a.txt", "naïve café".encode("latin-1"), ContentType.TEXT),
        ("a.txt", b"<!-- a --> <!-- b --><HTML lang=en>", ContentType.HTML),
        ("a.txt", b"<?XML version='1.0'?> text", ContentType.TEXT),
        ("a.txt", b"<!-- never closed <html>", ContentType.TEXT),
        ("a.doc", LEGACY_WORD, None),
        ("a.docx", LEGACY_WORD, ContentType.DOCX),  # fails as damaged when it is read: the first bytes do not show it
        ("a", ELF, None),
        ("a.exe", b"MZ\x90\0\x03\0\0\0", None),
        ("a.json", b"{}", ContentType.JSON),
        ("a.xml", b"<?xml version='1.0'?><x/>", ContentType.XML),
        ("a.xml", b"<?xml version='1.0'?><html>", ContentType.HTML),
        ("a.eml", b"Subject: x", ContentType.MAIL),
        ("a.log", b"12:00 started", ContentType.SOURCE),
        ("a.php", b"<html><?php echo 1 ?>", ContentType.SOURCE),
        ("a.py", b"MAGIC = b'%PDF-'", ContentType.SOURCE),
        ("a.rst", b"Title\n=====", ContentType.TEXT),
        ("a.exe", b"text", None),
        ("a.txt", b"\x01\x02\x03\x04 text", None),  # control characters among letters
    ],
)
def test_file_type_follows_from_its_content(name: str, content: bytes, content_type: ContentType | None) -> None:
    file = FirstBytes(content)
    assert sniff(name, file) is content_type
    assert file.tell() == 0
