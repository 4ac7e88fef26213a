"""Small workbooks and presentations."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_SHEET = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{_DOCUMENT}"'
_SLIDE = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:r="{_DOCUMENT}"'
)
# Of the styles of cells the second is a date, the third a time of the workbook's own format.
_STYLES = (
    f'<styleSheet {_SHEET}><numFmts><numFmt numFmtId="164" formatCode="hh:mm"/></numFmts><cellXfs>'
    '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs></styleSheet>'
)


def make_xlsx(sheets: Mapping[str, str], *, strings: Sequence[str] = (), hidden: str = "") -> bytes:
    """Return a workbook; each sheet is given as the XML of its rows."""
    names = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"{" state='hidden'" if name == hidden else ""}/>'
        for number, name in enumerate(sheets, start=1)
    )
    shared = "".join(f"<si><t>{text}</t></si>" for text in strings)
    parts = {
        "xl/workbook.xml": f"<workbook {_SHEET}><sheets>{names}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relations("worksheet", [f"worksheets/s{n + 1}.xml" for n in range(len(sheets))]),
        "xl/sharedStrings.xml": f"<sst {_SHEET}>{shared}</sst>",
        "xl/styles.xml": _STYLES,
    }
    for number, rows in enumerate(sheets.values(), start=1):
        data = f"<worksheet {_SHEET}><sheetData>{rows}</sheetData></worksheet>"
        parts[f"xl/worksheets/s{number}.xml"] = data
    return _archive(parts)


def make_pptx(*slides: str, notes: str = "") -> bytes:
    """Return a presentation; each slide is given as the XML of its shapes, the notes of the first as text."""
    ids = "".join(f'<p:sldId r:id="r{number}"/>' for number in range(1, len(slides) + 1))
    parts = {
        "ppt/presentation.xml": f"<p:presentation {_SLIDE}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations("slide", [f"slides/s{n + 1}.xml" for n in range(len(slides))]),
    }
    for number, shapes in enumerate(slides, start=1):
        parts[f"ppt/slides/s{number}.xml"] = f"<p:sld {_SLIDE}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    if notes:
        parts["ppt/slides/_rels/s1.xml.rels"] = _relations("notesSlide", ["../notesSlides/n1.xml"])
        parts["ppt/notesSlides/n1.xml"] = (
            f"<p:notes {_SLIDE}><p:cSld><p:spTree>{shape(notes)}</p:spTree></p:cSld></p:notes>"
        )
    return _archive(parts)


def shape(*paragraphs: str, kind: str = "") -> str:
    """Return a shape with paragraphs; ``kind`` is that of its placeholder."""
    holder = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>' if kind else ""
    texts = "".join(f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in paragraphs)
    return f"<p:sp>{holder}<p:txBody>{texts}</p:txBody></p:sp>"


def slide_table(*rows: Sequence[str]) -> str:
    """Return a table whose first row is its header."""
    lines = "".join(
        "<a:tr>"
        + "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>" for cell in row)
        + "</a:tr>"
        for row in rows
    )
    return f'<p:graphicFrame><a:tbl><a:tblPr firstRow="1"/>{lines}</a:tbl></p:graphicFrame>'


def _relations(kind: str, targets: Sequence[str]) -> str:
    rows = "".join(
        f'<Relationship Id="r{number}" Type="{_DOCUMENT}/{kind}" Target="{target}"/>'
        for number, target in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}">{rows}</Relationships>'


def _archive(parts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()
