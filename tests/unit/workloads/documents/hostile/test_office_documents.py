"""Office documents that are bombs, encrypted, incomplete, of a related format, or that refer to others."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.unit.workloads.documents.extraction.makers import DOCX_TYPES, make_docx, make_zip, rewrite_docx
from tests.unit.workloads.documents.extraction.office_makers import make_pptx, make_xlsx, shape, slide_table
from tests.unit.workloads.documents.hostile.ending import Case, cases, check
from tests.unit.workloads.documents.hostile.office_files import (
    CELL,
    DOCUMENT,
    MACROS,
    MAIN,
    SHEET,
    SHOW,
    SLIDE,
    TEMPLATE,
    WORD,
    WORKBOOK,
    added,
    excel,
    excel_of,
    flagged,
    linked,
    method_of,
    overlapped,
    replaced,
    slides,
    spoiled,
    without,
    word,
    word_of,
)
from workloads.documents.extraction.sniffing import OLE_MAGIC, OLE_STREAM_OF_ENCRYPTED_DOCX

pytestmark = pytest.mark.process

BOMB = b" " * (6 * 1024 * 1024)
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (name, b"&%c;" % (name - 1) * 10) for name in b"bcdefghi")
    + b"]><x>&i;</x>"
)
TOO_COMPLEX, DAMAGED, ENCRYPTED = "file_too_complex", "file_damaged", "file_encrypted"
TEXT = "Fair queues"


@cases(
    bomb_in_docx=Case("a.docx", lambda: added(word(), ("word/a.xml", BOMB)), code=TOO_COMPLEX),
    bomb_in_xlsx=Case("a.xlsx", lambda: added(excel(), ("xl/a.bin", BOMB)), code=TOO_COMPLEX),
    bomb_in_pptx=Case("a.pptx", lambda: added(slides(), ("ppt/media/a.png", BOMB)), code=TOO_COMPLEX),
    parts_of_one_content=Case("a.docx", lambda: overlapped(word()), code=DAMAGED),
    too_many_parts=Case(
        "a.xlsx", lambda: added(excel(), *((f"p/{number}", b"") for number in range(20_000))), code=TOO_COMPLEX
    ),
    nested_archives=Case(
        "a.docx", lambda: added(word(), ("a.zip", added(b"", ("b.zip", added(b"", ("c", BOMB)))))), text=TEXT
    ),
    entities_in_docx=Case("a.docx", lambda: rewrite_docx(word(), DOCUMENT, LAUGHS), code=DAMAGED),
    entities_in_xlsx=Case("a.xlsx", lambda: rewrite_docx(excel(), SHEET, LAUGHS), code=DAMAGED),
    entities_in_pptx=Case("a.pptx", lambda: rewrite_docx(slides(), SLIDE, LAUGHS), code=DAMAGED),
    deep_elements=Case("a.docx", lambda: word_of("<w:sdt>" * 90_000), code=DAMAGED),
    deep_closed_elements=Case("a.docx", lambda: word_of("<w:sdt>" * 9_000 + "</w:sdt>" * 9_000), code=DAMAGED),
    table_in_table=Case(
        "a.docx",
        lambda: word_of(
            "<w:tbl><w:tr><w:tc>" * 60 + "<w:p><w:r><w:t>in</w:t></w:r></w:p>" + "</w:tc></w:tr></w:tbl>" * 60
        ),
        text="in",
    ),
    wide_span_in_docx=Case(
        "a.docx",
        lambda: word_of(
            '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr><w:p><w:r><w:t>wide</w:t></w:r></w:p>'
            "</w:tc></w:tr></w:tbl>"
        ),
        text="wide",
    ),
    huge_cell=Case(
        "a.xlsx", lambda: excel_of(f'<row><c t="str"><v>{"x " * 5_600_000}</v></c></row>'), code=TOO_COMPLEX
    ),
    cell_of_a_megabyte=Case(
        "a.xlsx", lambda: excel_of(f'<row><c t="str"><v>{"word " * 200_000}</v></c></row>'), text="word"
    ),
    string_of_many_cells=Case(
        "a.xlsx",
        lambda: make_xlsx({"Plans": '<row><c t="s"><v>0</v></c></row>' * 5_000}, strings=["x" * 10_000]),
        code=TOO_COMPLEX,
    ),
    wide_rows=Case("a.xlsx", lambda: excel_of('<row><c r="ALL1"><v>1</v></c></row>' * 12_000), code=TOO_COMPLEX),
    row_of_a_million=Case("a.xlsx", lambda: excel_of(f'<row r="{"9" * 4_000}"><c><v>1</v></c></row>'), code=DAMAGED),
)
def test_bomb_is_refused_or_read_within_the_limits(case: Case) -> None:
    check(case)


@cases(
    document=Case("a.docx", lambda: without(word(), DOCUMENT), code=DAMAGED),
    content_types=Case("a.docx", lambda: without(word(), DOCX_TYPES), code=DAMAGED),
    relations=Case("a.docx", lambda: without(word(), "_rels/.rels"), code=DAMAGED),
    styles=Case("a.docx", lambda: without(word(), "word/styles.xml"), code=DAMAGED),
    workbook=Case("a.xlsx", lambda: without(excel(), WORKBOOK), code=DAMAGED),
    relations_of_workbook=Case(
        "a.xlsx", lambda: without(excel(), "xl/_rels/workbook.xml.rels"), code="file_without_text"
    ),
    all_sheets=Case("a.xlsx", lambda: without(excel(), SHEET), code="file_without_text"),
    one_sheet=Case(
        "a.xlsx",
        lambda: without(make_xlsx({"One": CELL, "Two": CELL}), "xl/worksheets/s2.xml"),
        text=TEXT,
        warning="The sheet Two is missing",
    ),
    strings=Case(
        "a.xlsx",
        lambda: without(make_xlsx({"P": '<row><c t="s"><v>0</v></c></row>'}, strings=["x"]), "xl/sharedStrings.xml"),
        code=DAMAGED,
    ),
    styles_of_cells=Case("a.xlsx", lambda: without(excel(), "xl/styles.xml"), text=TEXT),
    presentation=Case("a.pptx", lambda: without(slides(), SHOW), code=DAMAGED),
    slide=Case("a.pptx", lambda: without(slides(), SLIDE), code=DAMAGED),
    notes=Case("a.pptx", lambda: without(make_pptx(shape(TEXT), notes="Say."), "ppt/notesSlides/n1.xml"), code=DAMAGED),
    text_in_docx=Case("a.docx", make_docx, code="file_without_text"),
    text_in_xlsx=Case("a.xlsx", lambda: excel_of(""), code="file_without_text"),
    text_in_pptx=Case("a.pptx", lambda: make_pptx(""), code="file_without_text"),
    text_of_one_slide=Case("a.pptx", lambda: make_pptx(shape(TEXT), ""), text=TEXT, warning="1 of 2 pages"),
    hidden_sheet=Case(
        "a.xlsx", lambda: make_xlsx({"One": CELL, "Two": CELL}, hidden="Two"), text=TEXT, warning="hidden sheet Two"
    ),
)
def test_missing_part_is_named(case: Case) -> None:
    check(case)


@cases(
    docx=Case("a.docx", lambda: OLE_MAGIC + b"\0" * 600 + OLE_STREAM_OF_ENCRYPTED_DOCX, code=ENCRYPTED),
    xlsx=Case("a.xlsx", lambda: OLE_MAGIC + b"\0" * 600 + OLE_STREAM_OF_ENCRYPTED_DOCX, code=ENCRYPTED),
    pptx=Case("a.pptx", lambda: OLE_MAGIC + b"\0" * 600 + OLE_STREAM_OF_ENCRYPTED_DOCX, code=ENCRYPTED),
    parts=Case("a.docx", lambda: flagged(word()), code=ENCRYPTED),
    old_word=Case("a.docx", lambda: OLE_MAGIC + b"\0" * 600, code=DAMAGED),
    old_word_by_name=Case("a.doc", lambda: OLE_MAGIC + b"\0" * 600, code="type_unknown"),
)
def test_encrypted_or_old_document_is_refused(case: Case) -> None:
    check(case)


@cases(
    docx_cut=Case("a.docx", lambda: word()[: len(word()) // 2], code=DAMAGED),
    xlsx_cut=Case("a.xlsx", lambda: excel()[: len(excel()) // 2], code=DAMAGED),
    pptx_cut=Case("a.pptx", lambda: slides()[: len(slides()) // 2], code=DAMAGED),
    docx_without_end=Case("a.docx", lambda: word()[:-22], code=DAMAGED),
    deflated_noise=Case("a.docx", lambda: spoiled(word(), DOCUMENT, zipfile.ZIP_DEFLATED), code=DAMAGED),
    deflated_noise_in_picture=Case(
        "a.docx", lambda: spoiled(word(), "docProps/thumbnail.jpeg", zipfile.ZIP_DEFLATED), code=DAMAGED
    ),
    bzip2_noise=Case("a.xlsx", lambda: spoiled(excel(), SHEET, zipfile.ZIP_BZIP2), code=DAMAGED),
    lzma_noise=Case("a.pptx", lambda: spoiled(slides(), SLIDE, zipfile.ZIP_LZMA), code=DAMAGED),
    unknown_method=Case("a.docx", lambda: method_of(word(), 99), code=DAMAGED),
    unknown_method_in_picture=Case(
        "a.docx",
        lambda: added(without(word(), "docProps/thumbnail.jpeg"), ("docProps/thumbnail.jpeg", b"x")).replace(
            b"PK\x01\x02\x14\x03\x14\0\0\0\x08\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0"
        ),
        code=DAMAGED,
    ),
    not_xml=Case("a.docx", lambda: rewrite_docx(word(), DOCUMENT, b"no XML"), code=DAMAGED),
    root_of_another_kind=Case("a.docx", lambda: rewrite_docx(word(), DOCUMENT, b"<x/>"), code=DAMAGED),
    row_as_root=Case(
        "a.xlsx",
        lambda: rewrite_docx(excel(), SHEET, f'<!-- --><row xmlns="{MAIN}"><c><v>1</v></c></row>'.encode()),
        code=DAMAGED,
    ),
    row_that_is_no_number=Case("a.xlsx", lambda: excel_of('<row r="x"><c><v>1</v></c></row>'), code=DAMAGED),
    string_before_the_first=Case(
        "a.xlsx", lambda: make_xlsx({"P": '<row><c t="s"><v>-1</v></c></row>'}, strings=["x"]), code=DAMAGED
    ),
    date_beyond_numbers=Case(
        "a.xlsx", lambda: excel_of('<row><c s="1"><v>1e999</v></c><c><v>x</v></c></row>'), text="inf"
    ),
    invalid_xml_encoding=Case(
        "a.pptx", lambda: rewrite_docx(slides(), SLIDE, b"<?xml version='1.0' encoding='klingon'?><x/>"), code=DAMAGED
    ),
)
def test_damaged_document_is_refused(case: Case) -> None:
    check(case)


def external(target: str) -> bytes:
    """Return a Word document whose template is at another place."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"
    row = f'<Relationship Id="rId99" Type="{kind}" Target="{target}" TargetMode="External"/></Relationships>'
    return replaced(word(), "word/_rels/document.xml.rels", "</Relationships>", row)


@cases(
    template_on_the_web=Case("a.docx", lambda: external("http://127.0.0.1:9/t.dotm"), text=TEXT),
    template_on_the_disk=Case("a.docx", lambda: external("file:///etc/passwd"), text=TEXT, lacks="root:"),
    slide_on_the_web=Case(
        "a.pptx",
        lambda: replaced(
            slides(),
            "ppt/_rels/presentation.xml.rels",
            'Target="slides/s1.xml"',
            'Target="http://h/" TargetMode="External"',
        ),
        code=DAMAGED,
    ),
    sheet_outside=Case(
        "a.xlsx",
        lambda: replaced(excel(), "xl/_rels/workbook.xml.rels", "worksheets/s1.xml", "../../../etc/worksheets/passwd"),
        code="file_without_text",
    ),
    link_as_document=Case("a.docx", lambda: linked(word(), DOCUMENT, "/etc/passwd"), code=DAMAGED),
    link_beside_document=Case("a.docx", lambda: linked(word(), "word/link", "/etc/passwd"), text=TEXT, lacks="root:"),
    part_twice=Case("a.docx", lambda: added(word(), (DOCUMENT, word_xml("Second"))), code=DAMAGED),
    imported_part=Case(
        "a.docx",
        lambda: replaced(word(), DOCUMENT, "<w:sectPr", '<w:altChunk r:id="rId9"/><w:sectPr'),
        text=TEXT,
        warning="inserted files",
    ),
    embedded_file=Case(
        "a.docx", lambda: added(word(), ("word/embeddings/a.xlsx", excel())), text=TEXT, warning="embedded"
    ),
    embedded_in_slides=Case(
        "a.pptx", lambda: added(slides(), ("ppt/embeddings/a.bin", b"x")), text=TEXT, warning="embedded"
    ),
    diagram=Case("a.pptx", lambda: added(slides(), ("ppt/diagrams/data1.xml", b"<x/>")), text=TEXT, warning="diagrams"),
)
def test_reference_is_not_followed(case: Case) -> None:
    check(case)


def word_xml(text: str) -> bytes:
    return (
        f'<w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'.encode()
    )


def with_macros(content: bytes, folder: str) -> bytes:
    return added(content, (f"{folder}/vbaProject.bin", OLE_MAGIC + b"Sub AutoOpen()"))


def typed(kind: str) -> bytes:
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return replaced(word(), DOCX_TYPES, main, kind)


def docm() -> bytes:
    return with_macros(typed(MACROS), "word")


@cases(
    docm_as_docx=Case("a.docx", docm, text=TEXT, lacks="AutoOpen"),
    dotx=Case("a.dotx", lambda: typed(TEMPLATE), text=TEXT),
    docm=Case("a.docm", docm, text=TEXT, lacks="AutoOpen"),
    xlsm_as_xlsx=Case("a.xlsx", lambda: with_macros(excel(), "xl"), text=TEXT, lacks="AutoOpen"),
    pptm_as_pptx=Case("a.pptx", lambda: with_macros(slides(), "ppt"), text=TEXT, lacks="AutoOpen"),
    xlsx_as_docx=Case("a.docx", excel, text=TEXT),
    docx_as_text=Case("a.txt", word, text=TEXT),
    docx_as_pdf=Case("a.pdf", word, text=TEXT),
    xlsb=Case("a.xlsx", lambda: make_zip(**{DOCX_TYPES: b"<Types/>", "xl/workbook.bin": b"x"}), code=DAMAGED),
    odt=Case("a.odt", lambda: make_zip(mimetype=b"x", content=b"x"), code="type_unknown"),
    epub=Case("a.epub", lambda: make_zip(mimetype=b"application/epub+zip"), code="type_unknown"),
    visio=Case("a.docx", lambda: make_zip(**{DOCX_TYPES: b"", "visio/document.xml": b""}), code="type_unknown"),
    zip=Case("a.zip", lambda: make_zip(a=b"x"), code="type_unknown"),
    zip_as_docx=Case("a.docx", lambda: make_zip(a=b"x"), code="type_unknown"),
    zip_as_pdf=Case("a.pdf", lambda: make_zip(a=b"x"), code="type_unknown"),
    strict_xlsx=Case(
        "a.xlsx",
        lambda: replaced(excel(), WORKBOOK, MAIN, "http://purl.oclc.org/ooxml/spreadsheetml/main"),
        code=DAMAGED,
    ),
    table_on_slide=Case("a.pptx", lambda: make_pptx(slide_table(["a", "", "c"], ["1", "", "3"])), text="1 |  | 3"),
)
def test_content_decides_on_the_format(case: Case) -> None:
    check(case)


def test_archive_of_no_bytes_is_no_document() -> None:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    check(Case("a.docx", buffer.getvalue, code="type_unknown"))
