"""Readers of each document format: blocks, headings, locations and errors."""

from __future__ import annotations

import docx
import pytest

from tests.unit.workloads.documents.extraction.makers import (
    make_docx,
    make_encrypted_pdf,
    make_pdf,
    rewrite_docx,
    save_docx,
)
from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.decoding import decode
from workloads.documents.extraction.docx import read_docx
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.html import html_blocks, read_html
from workloads.documents.extraction.limits import MAX_DEPTH
from workloads.documents.extraction.markdown import read_markdown
from workloads.documents.extraction.pdf import read_pdf
from workloads.documents.extraction.plain import read_text
from workloads.documents.extraction.table import read_csv

SIMPLIFIED = "公平调度器选择虚拟时间最小的合格子节点，并收取预测成本。租户之间互不影响，任务不会丢失。"
TRADITIONAL = "公平調度器選擇虛擬時間最小的合格子節點，並收取預測成本。租戶之間互不影響，任務不會丟失。"
JAPANESE = "公平なスケジューラは、仮想時間が最小の子を選び、予測コストを請求します。ジョブは失われません。"
KOREAN = "공정한 스케줄러는 가상 시간이 가장 작은 적격 자식을 선택하고 예측 비용을 청구합니다."
RUSSIAN = "Справедливый планировщик выбирает подходящего потомка с наименьшим виртуальным временем."
FRENCH = "L'ordonnanceur équitable choisit l'enfant éligible dont le temps virtuel est le plus faible, à l'été."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (SIMPLIFIED, "utf-8"),
        (SIMPLIFIED, "utf-8-sig"),
        (SIMPLIFIED, "utf-16"),
        (SIMPLIFIED, "utf-32"),
        (SIMPLIFIED, "gb18030"),
        (SIMPLIFIED, "gbk"),
        (TRADITIONAL, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "euc_kr"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (FRENCH, "latin-1"),
    ],
)
def test_text_is_read_in_any_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), Facts()) == text


def test_page_may_declare_its_encoding() -> None:
    page = f'<html><meta charset="gb2312"><p>{"镕"}</p></html>'.encode("gb18030")
    assert [block.text for block in read_html(page, Facts())] == ["镕"]


def test_binary_data_is_damaged_as_text() -> None:
    with pytest.raises(FileDamagedError):
        decode(bytes(range(256)) * 40, Facts())


def test_html_becomes_headings_and_blocks_without_hidden_text() -> None:
    page = """<!doctype html><html><head><title>T</title><style>p{}</style></head><body>
        <nav>Home | About</nav><h1>Fair &amp; square</h1><script>alert(1)</script>
        <p>One <b>bold</b>
           word.<br>Next line.</p><div>loose <p>inner</p> tail</div><p hidden>secret</p>
        <table><tr><th>Plan</th><th>Weight</th></tr><tr><td>team</td><td>2</td></tr></table>
        <pre>a
  b</pre></body></html>"""
    assert [(block.text, block.level) for block in html_blocks(page)] == [
        ("Fair & square", 1),
        ("One bold word.\nNext line.", 0),
        ("loose", 0),
        ("inner", 0),
        ("tail", 0),
        ("team | 2", 0),
        ("a\n  b", 0),
    ]


def test_title_is_the_heading_of_a_page_without_headings() -> None:
    blocks = list(html_blocks("<title> The\ntitle </title><p>text</p>"))
    assert blocks == [Block("The title", {}, 1), Block("text", {"paragraph": 1})]


def test_deeply_nested_html_is_too_complex() -> None:
    with pytest.raises(FileTooComplexError, match="nests"):
        list(html_blocks("<div>" * (MAX_DEPTH + 1) + "x"))


def test_markdown_becomes_blocks_with_their_lines() -> None:
    text = """---
title: front matter
---
# Fair *queues*

First paragraph
goes [on](http://example.test).

- one
- two

| Plan | Weight |
|------|--------|
| team | 2      |

```python
x = 1
```

<div>raw <b>html</b></div>
"""
    assert [(block.text, block.location["line"], block.level) for block in read_markdown(text.encode(), Facts())] == [
        ("Fair queues", 4, 1),
        ("First paragraph\ngoes on.", 6, 0),
        ("one", 9, 0),
        ("two", 10, 0),
        ("team | 2", 14, 0),
        ("x = 1\n", 17, 0),
        ("raw html", 20, 0),
    ]


def test_text_is_split_at_blank_lines() -> None:
    assert list(read_text("a\nb\n\n \n公平\n".encode(), Facts())) == [
        Block("a\nb", {"line": 1}),
        Block("公平", {"line": 5}),
    ]


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        # A header names the cells, and is not a row.
        ("plan,weight\nteam,2\nsandbox,1\n", [("plan: team; weight: 2", 2), ("plan: sandbox; weight: 1", 3)]),
        ("计划;权重\n团队;2\n", [("计划: 团队; 权重: 2", 2)]),
        ("a\tb\n1\t2\n", [("a: 1; b: 2", 2)]),
        ('name,note\nx,"two\nlines, and a comma"\n', [("name: x; note: two\nlines, and a comma", 2)]),
        # Numbers in the first row: it is data.
        ("1,2\n3,4\n", [("1 | 2", 1), ("3 | 4", 2)]),
        # A row longer than the header is not truncated; an empty one is omitted.
        ("a,b\n1,2,3\n,\n", [("a: 1; b: 2; 3", 2)]),
        # A header without rows is not a header.
        ("plan,weight\n", [("plan | weight", 1)]),
    ],
)
def test_csv_becomes_rows_with_column_names(table: str, rows: list[tuple[str, int]]) -> None:
    assert [(block.text, block.location["row"]) for block in read_csv(table.encode(), Facts())] == rows


def test_docx_becomes_headings_paragraphs_and_table_rows_in_order() -> None:
    document = docx.Document()
    document.add_heading("标题", level=2)
    document.add_paragraph("First.")
    table = document.add_table(rows=2, cols=3)
    for row, cells in zip(table.rows, (("a", "b", "c"), ("", "2", "3")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    document.add_paragraph("Last.")
    assert [(block.text, block.level) for block in read_docx(save_docx(document), Facts())] == [
        ("标题", 2),
        ("First.", 0),
        (" | 2 | 3", 0),  # no value changes its column
        ("Last.", 0),
    ]


def test_pdf_becomes_one_block_per_page() -> None:
    assert [(block.text, block.location) for block in read_pdf(make_pdf("Hello", "World"), Facts())] == [
        ("Hello", {"page": 1}),
        ("World", {"page": 2}),
    ]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (make_pdf("x" * 500)[:-200], FileDamagedError),  # its end is missing
        (b"%PDF-1.7\nrubbish\n%%EOF", FileDamagedError),
        (make_encrypted_pdf("x"), FileEncryptedError),
    ],
)
def test_invalid_pdf_raises_its_error(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(read_pdf(data, Facts()))


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (make_docx("x")[:-100], FileDamagedError),  # the archive's directory is missing
        (rewrite_docx(make_docx("x"), "word/document.xml", b"<w:doc"), FileDamagedError),
        (rewrite_docx(make_docx("x"), "[Content_Types].xml", b""), FileDamagedError),
        (rewrite_docx(make_docx("x"), "word/document.xml", ENTITIES), FileDamagedError),  # XXE
        (rewrite_docx(make_docx("x"), "word/extra.xml", ENTITIES.decode().encode("utf-16")), FileDamagedError),
        (b"PK\x03\x04" + b"\0" * 100, FileDamagedError),
    ],
)
def test_invalid_docx_raises_its_error(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(read_docx(data, Facts()))


def test_docx_with_highly_compressed_part_is_too_complex() -> None:
    data = rewrite_docx(make_docx("x"), "word/media/bomb.bin", b"\0" * (32 * 1024 * 1024))
    with pytest.raises(FileTooComplexError):
        list(read_docx(data, Facts()))
