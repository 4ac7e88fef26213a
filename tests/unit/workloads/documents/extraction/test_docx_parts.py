"""Parts of Word documents: revisions, content controls, notes, text boxes, listings and tables."""

from __future__ import annotations

import docx
import pytest
from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from tests.unit.workloads.documents.extraction.makers import save_docx
from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.docx import read_docx

NAMESPACES = nsdecls("w")
NOTES_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
BOX = """<w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">
<mc:Choice Requires="wps"><w:drawing><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></w:drawing>
</mc:Choice><mc:Fallback><w:pict><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></w:pict>
</mc:Fallback></mc:AlternateContent></w:r>"""


def read(document: Document) -> list[Block]:
    return list(read_docx(save_docx(document), Facts()))


def document_of(body: str) -> Document:
    document = docx.Document()
    for element in parse_xml(f"<w:body {NAMESPACES}>{body}</w:body>"):
        document.element.body.insert(len(document.element.body) - 1, element)
    return document


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (f"<w:p>{run('kept ')}<w:ins>{run('new')}</w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>",
         ["kept new"]),
        (f"<w:p><w:moveFrom>{run('old place')}</w:moveFrom><w:moveTo>{run('new place')}</w:moveTo></w:p>",
         ["new place"]),
        (f"<w:sdt><w:sdtContent><w:p>{run('whole')}</w:p></w:sdtContent></w:sdt>", ["whole"]),
        (f"<w:p>{run('part ')}<w:sdt><w:sdtContent>{run('chosen')}</w:sdtContent></w:sdt></w:p>", ["part chosen"]),
        (f"<w:p><w:hyperlink>{run('link')}</w:hyperlink></w:p>", ["link"]),
        (f"<w:p>{run('around')}{BOX}</w:p>", ["around", "boxed"]),
        ("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>", ["a\tb\nc"]),
    ],
)  # fmt: skip
def test_text_of_a_paragraph_is_what_word_shows(body: str, texts: list[str]) -> None:
    assert [block.text for block in read(document_of(body))] == texts


def test_footnote_follows_the_paragraph_of_its_mark() -> None:
    document = document_of(
        f'<w:p>{run("claim")}<w:r><w:footnoteReference w:id="2"/></w:r></w:p><w:p>{run("next")}</w:p>'
    )
    notes = f'<w:footnotes {NAMESPACES}><w:footnote w:id="2"><w:p>{run("source")}</w:p></w:footnote></w:footnotes>'
    part = Part(PackURI("/word/footnotes.xml"), NOTES_TYPE, notes.encode(), document.part.package)
    document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
    assert [(block.text, block.kind) for block in read(document)] == [
        ("claim", BlockKind.PARAGRAPH),
        ("source", BlockKind.FOOTNOTE),
        ("next", BlockKind.PARAGRAPH),
    ]


def test_neighbouring_paragraphs_of_code_are_one_listing() -> None:
    document = docx.Document()
    document.add_paragraph("Text.")
    for line in ("def f():", "    return 1", "", "    # end"):
        document.add_paragraph().add_run(line).font.name = "Courier New"
    document.add_paragraph("More.")
    assert [(block.text, block.kind) for block in read(document)] == [
        ("Text.", BlockKind.PARAGRAPH),
        ("def f():\n    return 1\n\n    # end", BlockKind.CODE),
        ("More.", BlockKind.PARAGRAPH),
    ]


def test_table_keeps_its_header_and_its_empty_cells() -> None:
    cells = [["plan", "weight", "price"], ["team", "", "3"], ["", "1", ""]]
    rows = ["".join(f"<w:tc><w:p>{run(cell) if cell else ''}</w:p></w:tc>" for cell in row) for row in cells]
    look = '<w:tblPr><w:tblLook w:firstRow="1"/></w:tblPr>'
    blocks = read(document_of(f"<w:tbl>{look}{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"))
    assert [(block.text, block.header) for block in blocks] == [
        ("team |  | 3", "plan | weight | price"),
        (" | 1 | ", "plan | weight | price"),
    ]


def test_comments_follow_their_paragraph_with_their_author_if_they_are_read() -> None:
    document = docx.Document()
    first = document.add_paragraph("The deadline is Friday.")
    document.add_paragraph("The end.")
    document.add_comment(first.runs, text="Monday!\nOr later.", author="Anna Berg")
    document.add_comment(first.runs, text="Agreed.", author="")
    data = save_docx(document)
    assert [block.text for block in read_docx(data, Facts())] == ["The deadline is Friday.", "The end."]
    assert [(block.text, block.location) for block in read_docx(data, Facts(), reads_comments=True)] == [
        ("The deadline is Friday.", {"paragraph": 1}),
        ("Comment by Anna Berg: Monday!\nOr later.", {"paragraph": 1}),
        ("Comment: Agreed.", {"paragraph": 1}),
        ("The end.", {"paragraph": 2}),
    ]
