"""Reader of Markdown by markdown-it: the words without the markup, listings verbatim, with headings and lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.decoding import decode
from workloads.documents.extraction.html import html_blocks
from workloads.documents.extraction.limits import MAX_DEPTH
from workloads.documents.extraction.rows import Row, table_blocks

_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_VERBATIM = frozenset({"fence", "code_block"})
_HEADINGS = frozenset({"heading_open", "heading_close"})
_LIST_ITEMS = frozenset({"list_item_open", "list_item_close"})
_CELLS = frozenset({"th_open", "th_close", "td_open", "td_close"})


def read_markdown(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield one block per heading, paragraph, list item, listing or table row. ``line`` is its line in the file."""
    text = decode(data, facts).replace("\r\n", "\n").replace("\r", "\n")
    front_matter = _FRONT_MATTER.match(text)
    body = text[front_matter.end() :] if front_matter else text
    reader = _Reader(line=1 + (front_matter.group().count("\n") if front_matter else 0))
    for token in MarkdownIt("commonmark", {"maxNesting": MAX_DEPTH}).enable("table").parse(body):
        yield from reader.read(token)


@dataclass(slots=True)
class _Reader:
    """Position in the stream of tokens; ``line`` is the file's line on which the body begins."""

    line: int
    line_of_token: int = 1
    level: int = 0
    depth_of_list: int = 0
    is_cell: bool = False
    cells: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def read(self, token: Token) -> Iterator[Block]:
        """Yield the blocks that end with this token."""
        if token.map is not None:
            self.line_of_token = self.line + token.map[0]
        place = {"line": self.line_of_token}
        if token.type in _HEADINGS:
            self.level = int(token.tag[1]) if token.nesting == 1 else 0
        elif token.type in _LIST_ITEMS:
            self.depth_of_list += token.nesting
        elif token.type == "inline" and not self.is_cell:
            kind = BlockKind.LIST_ITEM if self.depth_of_list else BlockKind.PARAGRAPH
            yield from _block(_words_of(token), place, self.level, kind)
        elif token.type == "html_block":
            yield from (Block(block.text, place, block.level, block.kind, block.header) for block in _html(token))
        elif token.type in _VERBATIM:
            # The line before the listing of a fence is its mark.
            place = {"line": self.line_of_token + (token.type == "fence")}
            yield from _block(token.content, place, 0, BlockKind.CODE)
        else:
            yield from self._read_table(token)

    def _read_table(self, token: Token) -> Iterator[Block]:
        if token.type in _CELLS:
            self.is_cell = token.nesting == 1
        elif token.type == "inline":
            self.cells.append(_words_of(token))
        elif token.type == "tr_close":
            self.rows.append((self.cells, {"line": self.line_of_token}))
            self.cells = []
        elif token.type == "table_close":
            yield from table_blocks(self.rows, has_header=True)
            self.rows = []


def _block(text: str, place: Mapping[str, int], level: int, kind: BlockKind) -> Iterator[Block]:
    if text.strip():
        yield Block(text, place, level, kind)


def _words_of(token: Token) -> str:
    words = []
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            words.append("\n")
        elif child.type == "image" or child.type in {"text", "code_inline"}:
            words.append(child.content)
    return "".join(words)


def _html(token: Token) -> Iterator[Block]:
    return html_blocks(f"<body>{token.content}")
