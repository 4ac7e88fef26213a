"""What a file is, by its content; its name only tells texts apart, which no content can."""

from __future__ import annotations

import io
import re
import zipfile
from enum import StrEnum
from pathlib import PurePath

from scheduling.processors.retrieval.extraction.decoding import decode
from scheduling.processors.retrieval.extraction.errors import FileDamagedError

# Bytes from a file's beginning that tell what it is.
HEAD_BYTES = 64 * 1024

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Word wraps an encrypted document in an OLE file with a stream of this name.
OLE_STREAM_OF_ENCRYPTED_DOCX = "EncryptedPackage".encode("utf-16-le")
_ZIP_MAGIC = b"PK\x03\x04"
_PDF_MAGIC = b"%PDF-"
# Readers look for the mark within this many bytes, for mailers put their own lines before it.
_PDF_MAGIC_WITHIN = 1024
_DOCX_PART = "word/document.xml"
# Names that a Word document's archive begins with; a truncated one has no directory to ask.
_DOCX_FIRST_PARTS = (b"[Content_Types].xml", b"_rels/", b"word/", b"docProps/", b"mimetype")
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# More control characters than this among text, and it is something else that happens to decode.
_MAX_CONTROL_SHARE = 0.01


class ContentType(StrEnum):
    """The types that are read, by their media type."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    CSV = "text/csv"


_TEXT_SUFFIXES = {
    ".html": ContentType.HTML,
    ".htm": ContentType.HTML,
    ".xhtml": ContentType.HTML,
    ".md": ContentType.MARKDOWN,
    ".markdown": ContentType.MARKDOWN,
    ".txt": ContentType.TEXT,
    ".text": ContentType.TEXT,
    "": ContentType.TEXT,
    ".csv": ContentType.CSV,
    ".tsv": ContentType.CSV,
}


def sniff(name: str, content: io.BufferedIOBase) -> ContentType | None:
    """The type of a seekable file, or None when it is none that is read. Leaves the position at its beginning."""
    content.seek(0)
    head = content.read(HEAD_BYTES)
    try:
        return _binary_type(name, head, content) or _text_type(name, head)
    finally:
        content.seek(0)


def _binary_type(name: str, head: bytes, content: io.BufferedIOBase) -> ContentType | None:
    if _PDF_MAGIC in head[:_PDF_MAGIC_WITHIN]:
        return ContentType.PDF
    if head.startswith(_ZIP_MAGIC):
        return ContentType.DOCX if _is_docx(head, content) else None
    if head.startswith(OLE_MAGIC) and PurePath(name).suffix.lower() == ".docx":
        content.seek(0)
        return ContentType.DOCX if OLE_STREAM_OF_ENCRYPTED_DOCX in content.read() else None
    return None


def _is_docx(head: bytes, content: io.BufferedIOBase) -> bool:
    content.seek(0)
    try:
        with zipfile.ZipFile(content) as archive:
            return _DOCX_PART in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        # Cut short: it is taken in, and fails as damaged when it is read.
        return head[30:60].startswith(_DOCX_FIRST_PARTS)


def _text_type(name: str, head: bytes) -> ContentType | None:
    suffix = PurePath(name).suffix.lower()
    text = _decoded(head)
    if suffix not in _TEXT_SUFFIXES or text is None:
        return None
    if _HTML_START.match(text):
        return ContentType.HTML
    return _TEXT_SUFFIXES[suffix]


def _decoded(head: bytes) -> str | None:
    # The last character may be cut in two: up to three bytes less, and it is whole.
    for cut in range(4 if len(head) == HEAD_BYTES else 1):
        try:
            text = decode(head[: len(head) - cut])
        except FileDamagedError:
            continue
        if len(_CONTROL.findall(text)) <= _MAX_CONTROL_SHARE * len(text):
            return text
    return None
