"""PDF files whose text is at chosen places."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pypdf
import pypdfium2
from pypdf.generic import DecodedStreamObject, DictionaryObject, Fit, NameObject, NumberObject

_FONTS = {"F1": "Times-Roman", "F2": "Courier", "F3": "Helvetica-Bold"}
WIDTH, HEIGHT = 595, 842
LEFT, TOP, LEADING, SIZE = 72, 740, 12.0, 10.0
ROMAN, MONO, BOLD = "F1", "F2", "F3"


@dataclass(frozen=True)
class Text:
    """Text at a place, counted from the lower left corner of the page."""

    text: str
    x: float = LEFT
    y: float = TOP
    size: float = SIZE
    font: str = ROMAN
    # The matrix of the text, but for its place.
    matrix: str = "1 0 0 1"


def lines(
    *texts: str, x: float = LEFT, y: float = TOP, size: float = SIZE, font: str = ROMAN, leading: float = LEADING
) -> list[Text]:
    """Return lines of text below each other."""
    return [Text(text, x, y - number * leading, size, font) for number, text in enumerate(texts)]


def draw_pdf(*pages: Iterable[Text], outline: Sequence[tuple[str, int, int | None]] = ()) -> bytes:
    """Return a PDF of these pages; the outline has titles with their page and the place of the title above them."""
    writer = pypdf.PdfWriter()
    fonts = DictionaryObject({NameObject(f"/{key}"): _font(writer, name) for key, name in _FONTS.items()})
    for texts in pages:
        page = writer.add_blank_page(width=WIDTH, height=HEIGHT)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        drawing = DecodedStreamObject()
        drawing.set_data("\n".join(map(_operators, texts)).encode("cp1252"))
        page[NameObject("/Contents")] = writer._add_object(drawing)
    entries: list[pypdf.generic.IndirectObject] = []
    for title, number, parent in outline:
        above = None if parent is None else entries[parent]
        fit = Fit.xyz(top=HEIGHT)
        entries.append(writer.add_outline_item(title=title, page_number=number - 1, parent=above, fit=fit))
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def scan_of(data: bytes, *, dots_an_inch: int = 150) -> bytes:
    """Return a PDF whose pages are pictures of those of another, as from a scanner."""
    document, writer = pypdfium2.PdfDocument(data), pypdf.PdfWriter()
    for number in range(len(document)):
        bitmap = document[number].render(scale=dots_an_inch / 72, grayscale=True)
        rows, columns, stride = bitmap.height, bitmap.width, bitmap.stride
        pixels = bytes(bitmap.buffer)
        picture = DecodedStreamObject()
        picture.set_data(b"".join(pixels[row * stride : row * stride + columns] for row in range(rows)))
        values = {"/Type": NameObject("/XObject"), "/Subtype": NameObject("/Image")}
        values |= {"/ColorSpace": NameObject("/DeviceGray"), "/BitsPerComponent": NumberObject(8)}
        values |= {"/Width": NumberObject(columns), "/Height": NumberObject(rows)}
        picture.update({NameObject(key): value for key, value in values.items()})
        page = writer.add_blank_page(width=WIDTH, height=HEIGHT)
        objects = DictionaryObject({NameObject("/P"): writer._add_object(picture.flate_encode())})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): objects})
        drawing = DecodedStreamObject()
        drawing.set_data(f"{WIDTH} 0 0 {HEIGHT} 0 0 cm /P Do".encode())
        page[NameObject("/Contents")] = writer._add_object(drawing)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _font(writer: pypdf.PdfWriter, name: str) -> pypdf.generic.IndirectObject:
    values = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": f"/{name}", "/Encoding": "/WinAnsiEncoding"}
    return writer._add_object(DictionaryObject({NameObject(key): NameObject(value) for key, value in values.items()}))


def _operators(text: Text) -> str:
    written = text.text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /{text.font} {text.size} Tf {text.matrix} {text.x} {text.y} Tm ({written}) Tj ET"
