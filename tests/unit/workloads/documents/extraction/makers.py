"""Small files of every kind, valid and invalid."""

from __future__ import annotations

import io
import zipfile

import docx
import pypdf
from docx.document import Document
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject, StreamObject

DOCX_TYPES = "[Content_Types].xml"


def make_pdf(*pages: str, stream: bytes | None = None) -> bytes:
    """Return a PDF with a line of Latin text on each page; ``stream`` replaces the drawing of the last."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(width=595, height=842)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})}
        )
        drawing: StreamObject = DecodedStreamObject()
        drawing.set_data(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1") if text else b"0 0 100 100 re f")
        page[NameObject("/Contents")] = writer._add_object(drawing)
    if stream is not None:
        bomb = DecodedStreamObject()
        bomb.set_data(stream)
        writer.pages[-1][NameObject("/Contents")] = writer._add_object(bomb.flate_encode(9))
    return _bytes_of(writer)


def make_encrypted_pdf(text: str) -> bytes:
    """Return a PDF that opens with a password only."""
    writer = pypdf.PdfWriter(io.BytesIO(make_pdf(text)))
    writer.encrypt("secret", algorithm="AES-256")
    return _bytes_of(writer)


def make_docx(*paragraphs: str, heading: str = "") -> bytes:
    """Return a Word document."""
    document = docx.Document()
    if heading:
        document.add_heading(heading, level=1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return save_docx(document)


def save_docx(document: Document) -> bytes:
    """Return the bytes of a document of python-docx."""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def rewrite_docx(data: bytes, part: str, content: bytes) -> bytes:
    """Return the document with one part replaced or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name))
        new.writestr(part, content)
    return buffer.getvalue()


def make_zip(**members: bytes) -> bytes:
    """Return an archive that is not a Word document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _bytes_of(writer: pypdf.PdfWriter) -> bytes:
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()
