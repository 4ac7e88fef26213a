"""Code and tables from the file to the passages, for each format that has them."""

from __future__ import annotations

import html
import random

import docx
import pytest

from tests.unit.workloads.documents.extraction.makers import save_docx
from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.cleaning import clean_blocks
from workloads.documents.extraction.child import reader_of
from workloads.documents.extraction.sniffing import ContentType
from workloads.documents.split_settings import SplitSettings
from workloads.documents.splitting import Passage, split_blocks

SETTINGS = SplitSettings(chunk_size=120, overlap=20)
DOCUMENTS = 20
WORDS = ("queue", "tenant", "lease", "worker", "budget", "公平", "retry")
PROSE = "The dispatcher reads the queues in the order of their virtual time, and charges each tenant."


def make_listing(random_: random.Random) -> list[str]:
    """Return the lines of a listing: indented by spaces or tabs, with runs of spaces and blank lines."""
    lines, depth = ["begin:"], 1
    for number in range(random_.randint(3, 60)):
        depth = max(1, min(depth + random_.choice((-1, 0, 0, 1)), 9))
        indent = "\t" * depth if random_.random() < 0.2 else "    " * depth
        left, right = random_.choices(WORDS, k=2)
        lines.append(f"{indent}{left}_{number}{' ' * random_.randint(1, 9)}= {right}[{number}]  # {left}-")
        if random_.random() < 0.15:
            lines.extend([""] * random_.randint(1, 3))
    return [*lines, f"    end_{random_.random()}"]


def in_html(listings: list[list[str]]) -> bytes:
    parts = (f"<h2>Part</h2><p>{PROSE}</p><pre>{html.escape('\n'.join(lines))}</pre>" for lines in listings)
    return f"<!doctype html><meta charset=utf-8><main>{''.join(parts)}</main>".encode()


def in_markdown(listings: list[list[str]]) -> bytes:
    return "".join(f"## Part\n\n{PROSE}\n\n```\n{'\n'.join(lines)}\n```\n\n" for lines in listings).encode()


def in_docx(listings: list[list[str]]) -> bytes:
    document = docx.Document()
    for lines in listings:
        document.add_paragraph(PROSE)
        for line in lines:
            document.add_paragraph().add_run(line).font.name = "Consolas"
    return save_docx(document)


def in_text(listings: list[list[str]]) -> bytes:
    return "".join(f"{PROSE}\n\n{'\n'.join(lines)}\n\n" for lines in listings).encode()


def in_source(listings: list[list[str]]) -> bytes:
    return "\n\n".join("\n".join(lines) for lines in listings).encode()


MAKERS = {
    ContentType.HTML: in_html,
    ContentType.MARKDOWN: in_markdown,
    ContentType.DOCX: in_docx,
    ContentType.TEXT: in_text,
    ContentType.SOURCE: in_source,
}


def passages_of(content_type: str, content: bytes, settings: SplitSettings = SETTINGS) -> list[Passage]:
    return split_blocks(clean_blocks(reader_of(content_type)(content, Facts())), settings)


@pytest.mark.parametrize("content_type", MAKERS)
def test_every_line_of_code_is_in_a_passage_as_it_was_written(content_type: ContentType) -> None:
    for seed in range(DOCUMENTS):
        random_ = random.Random(seed)
        listings = [make_listing(random_) for _ in range(6)]
        found = {
            line
            for passage in passages_of(content_type, MAKERS[content_type](listings))
            for line in passage.text.split("\n")
        }
        assert [line for lines in listings for line in lines if line and line not in found] == []


@pytest.mark.parametrize("content_type", MAKERS)
def test_blank_lines_of_a_short_listing_stay(content_type: ContentType) -> None:
    code = ["def f():", "    a = 1", "", "", "    return a"]
    (text,) = [passage.text for passage in passages_of(content_type, MAKERS[content_type]([code]))]
    assert "\n".join(code) in text


def test_continuation_lines_of_a_control_file_begin_with_their_space() -> None:
    stanza = "Package: dpkg\nDescription: package manager\n It installs and removes packages.\n .\n  indented further"
    (text,) = [passage.text for passage in passages_of(ContentType.TEXT, f"{stanza}\n\n".encode())]
    assert text == stanza


def test_listing_that_fits_is_in_one_passage() -> None:
    code = [f"    line_{number} = {number}" for number in range(16)]
    passages = passages_of(ContentType.MARKDOWN, in_markdown([code] * 8))
    assert all("\n".join(code) in passage.text for passage in passages if "line_0 " in passage.text)


def test_each_passage_of_a_table_has_its_header_and_empty_cells() -> None:
    rows = "".join(f"| tenant {number} | | {number} |\n" for number in range(120))
    content = f"{PROSE}\n\n| name | note | weight |\n|---|---|---|\n{rows}"
    passages = passages_of(ContentType.MARKDOWN, content.encode())
    tables = [passage.text for passage in passages if "tenant 1" in passage.text or "tenant 9" in passage.text]
    assert len(passages) > 5
    assert all("name | note | weight\n" in text for text in tables)
    found = {line for passage in passages for line in passage.text.split("\n")}
    assert {f"tenant {number} |  | {number}" for number in range(120)} <= found


def test_header_that_fills_a_passage_is_not_repeated() -> None:
    header = " | ".join(f"a long name of column {number}" for number in range(30))
    blocks = [Block(f"row {number}", kind=BlockKind.TABLE, header=header) for number in range(200)]
    assert sum("column 29" in passage.text for passage in split_blocks(blocks, SETTINGS)) <= 2


def test_code_loses_unprintable_characters_and_no_spaces() -> None:
    block = Block("\n\n  a\x00b\u200b  =  1\r\n\r\n\tc\n\n", kind=BlockKind.CODE)
    assert [block.text for block in clean_blocks([block])] == ["  ab  =  1\n\n\tc"]
