"""Workbooks and presentations: their rows, slides and facts, and the limits of both."""

from __future__ import annotations

import pytest

from tests.unit.workloads.documents.extraction.makers import rewrite_docx
from tests.unit.workloads.documents.extraction.office_makers import make_pptx, make_xlsx, shape, slide_table
from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.limits import MIB
from workloads.documents.extraction.pptx import read_pptx
from workloads.documents.extraction.sniffing import OLE_MAGIC, OLE_STREAM_OF_ENCRYPTED_DOCX
from workloads.documents.extraction.xlsx import read_xlsx

ROWS = (
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="inlineStr"><is><t>seen</t></is>'
    '</c></row><row r="3"><c r="A3" t="s"><v>2</v></c><c r="C3" s="1"><v>45658</v></c></row>'
    '<row r="4"><c r="A4" t="b"><v>1</v></c><c r="B4"><f>1+1</f><v>2</v></c><c r="C4" s="2"><v>0.5</v></c></row>'
)


def test_workbook_becomes_rows_with_the_names_of_their_columns() -> None:
    content = make_xlsx({"Plans": ROWS}, strings=("plan", "weight", "team"))
    assert list(read_xlsx(content, Facts())) == [
        Block("Plans", {}, 1),
        Block("plan: team; seen: 2025-01-01", {"row": 3}, kind=BlockKind.TABLE),
        Block("plan: TRUE; weight: 2; seen: 12:00:00", {"row": 4}, kind=BlockKind.TABLE),
    ]


def test_hidden_and_empty_sheets_are_not_read() -> None:
    facts = Facts()
    row = '<row><c t="str"><v>x</v></c><c><v>7</v></c></row>'
    content = make_xlsx({"Plans": row, "Secrets": row, "Empty": ""}, hidden="Secrets")
    assert [block.text for block in read_xlsx(content, facts)] == ["Plans", "x | 7"]
    assert facts.warnings == ["The hidden sheet Secrets is not indexed."]


def test_columns_beyond_the_limit_are_left_out_with_a_warning() -> None:
    facts = Facts()
    row = '<row><c r="A1"><v>1</v></c><c r="ALL1"><v>2</v></c><c r="XFD1"><v>3</v></c><c r="ZZZ1"><v>4</v></c></row>'
    blocks = list(read_xlsx(make_xlsx({"Wide": row}), facts))
    assert [cell for cell in blocks[1].text.split(" | ") if cell] == ["1", "2"]
    assert "1000 columns" in facts.warnings[0]


@pytest.mark.parametrize(
    "row",
    [
        '<row><c t="s"><v>9</v></c></row>',  # no such string
        '<row><c t="s"><v>x</v></c></row>',
        '<row><c s="1"><v>one</v></c></row>',  # a date that is no number
        '<row r="x"><c><v>1</v></c></row>',
        "<row><c>",
    ],
)
def test_workbook_with_false_references_is_damaged(row: str) -> None:
    with pytest.raises(FileDamagedError):
        list(read_xlsx(make_xlsx({"Plans": row}), Facts()))


def test_presentation_becomes_slides_with_titles_tables_and_notes() -> None:
    facts = Facts()
    table = slide_table(("plan", "weight", "price"), ("team", "", "3"), ("", "1", ""))
    first = shape("Fair queues", kind="title") + shape("One", "Two") + shape("7", kind="sldNum") + table
    blocks = list(read_pptx(make_pptx(first, "", notes="Say this."), facts))
    assert blocks == [
        Block("Fair queues", {"page": 1}, 1),
        Block("One", {"page": 1}),
        Block("Two", {"page": 1}),
        Block("team |  | 3", {"page": 1}, kind=BlockKind.TABLE, header="plan | weight | price"),
        Block(" | 1 | ", {"page": 1}, kind=BlockKind.TABLE, header="plan | weight | price"),
        Block("Say this.", {"page": 1}, kind=BlockKind.FOOTNOTE),
    ]
    assert (facts.pages, facts.pages_without_text) == (2, 1)


@pytest.mark.parametrize(
    ("read", "content"),
    [(read_xlsx, make_xlsx({"Plans": ROWS}, strings=("a", "b", "c"))), (read_pptx, make_pptx(shape("x")))],
    ids=["xlsx", "pptx"],
)
def test_bombs_and_false_files_are_refused_by_name(read: object, content: bytes) -> None:
    assert callable(read)
    part = "xl/workbook.xml" if read is read_xlsx else "ppt/presentation.xml"
    declared = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">]><x>&a;</x>'
    refused = [
        (rewrite_docx(content, "a/bomb.xml", b" " * (64 * MIB)), FileTooComplexError),
        (rewrite_docx(content, part, declared), FileDamagedError),
        (rewrite_docx(content, part, b"<x"), FileDamagedError),
        (content[: len(content) // 2], FileDamagedError),
        (OLE_MAGIC + b"\0" * 600, FileDamagedError),
        (OLE_MAGIC + OLE_STREAM_OF_ENCRYPTED_DOCX, FileEncryptedError),
    ]
    for data, error in refused:
        with pytest.raises(error):
            list(read(data, Facts()))
