"""Detection of a file's type by its first bytes. The suffix of its name only distinguishes formats of text.

It runs in the web process on untrusted bytes: it reads only the first bytes, uses no statistics, opens no archive, and
takes time linear in its input. The parsing process checks the rest of the file.
"""

from __future__ import annotations

import codecs
import io
import re
from enum import StrEnum
from pathlib import PurePath

from workloads.documents.extraction.decoding import BYTE_ORDER_MARKS

# Bytes from a file's beginning that determine its type.
HEAD_BYTES = 64 * 1024

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Word wraps an encrypted document in an OLE file with a stream of this name.
OLE_STREAM_OF_ENCRYPTED_DOCX = "EncryptedPackage".encode("utf-16-le")
# Each part of a zip begins with this mark; the length of the part's name and the name are at fixed offsets.
_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_NAME_LENGTH_AT = 26
_ZIP_NAME_AT = 30
_MAX_ZIP_NAME_BYTES = 100
_PDF_MAGIC = b"%PDF-"
# Readers look for the mark within this many bytes, since mail programs put their own lines before it.
_PDF_MAGIC_WITHIN = 1024
# First names in an office document's archive, and the folder of a related format that is not read.
_FIRST_PARTS = (b"[Content_Types].xml", b"_rels/", b"word/", b"xl/", b"ppt/", b"docProps/", b"mimetype")
_FOLDER_OF_OTHERS = b"visio/"
# Images, sounds, archives and programs, whose bytes may decode as UTF-16; and RTF, which is mark-up in ASCII.
_OTHER_MAGICS = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"RIFF",
    b"OggS",
    b"ID3",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"\x7fELF",
    b"{\\rtf",
)
_HTML_TAG = re.compile(r"<(?:!doctype\s++html|html|head|body)\b", re.IGNORECASE)
# Encodings without a byte-order mark: text has zero bytes only if its units have several bytes.
_WIDE_ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# Data with more control characters than this is not text, even if it decodes.
_MAX_CONTROL_SHARE = 0.01


class ContentType(StrEnum):
    """A media type of files that can be read."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    CSV = "text/csv"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    MAIL = "message/rfc822"
    JSON = "application/json"
    XML = "application/xml"
    SOURCE = "text/x-source"


# The types as users know them, in forms and refusals.
ACCEPTED = "PDF, DOCX, XLSX, PPTX, HTML, Markdown, text, CSV, EML, JSON, XML, logs, source code"
# Types of which each byte is text that is indexed.
VERBATIM_TYPES = frozenset({ContentType.MARKDOWN, ContentType.TEXT, ContentType.CSV, ContentType.SOURCE})
_OFFICE_SUFFIXES = {".docx": ContentType.DOCX, ".xlsx": ContentType.XLSX, ".pptx": ContentType.PPTX}
_OFFICE_FOLDERS = {b"word/": ContentType.DOCX, b"xl/": ContentType.XLSX, b"ppt/": ContentType.PPTX}
_SOURCE_SUFFIXES = re.findall(
    r"\S+",
    ".log .jsonl .ndjson .py .pyi .js .mjs .cjs .ts .tsx .jsx .java .kt .scala .groovy .c .h .cc .cpp .cxx .hpp .cs .go"
    " .rs .rb .php .pl .pm .lua .r .jl .swift .m .sh .bash .zsh .fish .ps1 .bat .sql .yaml .yml .toml .ini .cfg .conf"
    " .properties .env .css .scss .less .vue .tf .gradle .cmake .mk .proto .graphql .ex .exs .erl .hs .clj .dart .tex"
    " .diff .patch",
)
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
    ".rst": ContentType.TEXT,
    ".eml": ContentType.MAIL,
    ".json": ContentType.JSON,
    ".xml": ContentType.XML,
    **dict.fromkeys(_SOURCE_SUFFIXES, ContentType.SOURCE),
}
# These may begin with a tag of HTML.
_NEVER_HTML = frozenset({ContentType.SOURCE, ContentType.MAIL, ContentType.JSON})


def sniff(name: str, content: io.BufferedIOBase) -> ContentType | None:
    """Return the type of a seekable file, or None if it cannot be read. The file's position is 0 afterwards."""
    content.seek(0)
    head = content.read(HEAD_BYTES)
    try:
        return None if head.startswith(_OTHER_MAGICS) else _binary_type(name, head) or _text_type(name, head)
    finally:
        content.seek(0)


def _binary_type(name: str, head: bytes) -> ContentType | None:
    suffix = PurePath(name).suffix.lower()
    called = _OFFICE_SUFFIXES.get(suffix)
    if head.startswith(_PDF_MAGIC) or (_PDF_MAGIC in head[:_PDF_MAGIC_WITHIN] and suffix not in _TEXT_SUFFIXES):
        return ContentType.PDF
    if head.startswith(_ZIP_MAGIC):
        return _office_type(head, called)
    # An encrypted document or one of an older Office: the parsing process reports which.
    return called if head.startswith(OLE_MAGIC) else None


def _office_type(head: bytes, called: ContentType | None) -> ContentType | None:
    """Return the type whose parts are at the archive's beginning; that of its name if they show none."""
    parts = _names_of_parts(head)
    if not parts[0].startswith(_FIRST_PARTS):
        return None
    for part in parts:
        if part.startswith(_FOLDER_OF_OTHERS):
            return None
        for folder, content_type in _OFFICE_FOLDERS.items():
            if part.startswith(folder):
                return content_type
    return called


def _names_of_parts(head: bytes) -> list[bytes]:
    names, begin = [], 0
    while begin >= 0:
        length = int.from_bytes(head[begin + _ZIP_NAME_LENGTH_AT : begin + _ZIP_NAME_AT - 2], "little")
        name_at = begin + _ZIP_NAME_AT
        names.append(head[name_at : name_at + min(length, _MAX_ZIP_NAME_BYTES)])
        begin = head.find(_ZIP_MAGIC, begin + len(_ZIP_MAGIC))
    return names


def _text_type(name: str, head: bytes) -> ContentType | None:
    suffix = PurePath(name).suffix.lower()
    text = _as_text(head) if suffix in _TEXT_SUFFIXES else None
    if text is None or len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        return None
    named = _TEXT_SUFFIXES[suffix]
    return ContentType.HTML if named not in _NEVER_HTML and _begins_as_html(text) else named


def _as_text(head: bytes) -> str | None:
    """Return the bytes as text, one character per byte if the encoding is not evident; None if they are not text."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return head.decode(encoding, errors="replace")
    encodings = ("utf-8",) if b"\0" not in head else _WIDE_ENCODINGS
    for encoding in encodings:
        try:
            # The last character may be cut in two.
            text = codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < HEAD_BYTES)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    return None if b"\0" in head else head.decode("latin-1")


def _begins_as_html(text: str) -> bool:
    """Return True if an HTML tag is at the beginning, or follows an XML declaration and comments."""
    place = _after_space(text, 0)
    if text[place : place + len("<?xml")].lower() == "<?xml":
        place = _after(text, ">", place)
    while text.startswith("<!--", place):
        place = _after(text, "-->", place + len("<!--"))
    return _HTML_TAG.match(text, place) is not None


def _after(text: str, end: str, place: int) -> int:
    """Return the offset after `end` and spaces; the text's end if `end` is not found."""
    found = text.find(end, place)
    return _after_space(text, found + len(end)) if found >= 0 else len(text)


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place
