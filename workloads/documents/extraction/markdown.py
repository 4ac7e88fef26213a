"""Reader of Markdown by markdown-it: the words without the markup, with headings and line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.decoding import decode

_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_VERBATIM = frozenset({"fence", "code_block"})
_HEADINGS = frozenset({"heading_open", "heading_close"})
_CELLS = frozenset({"th_open", "th_close", "td_open", "td_close"})


def read_markdown(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield one block per heading, paragraph, list item, code block or table row. ``line`` is its line in the file."""
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    front_matter = _FRONT_MATTER.match(text)
    body = text[front_matter.end() :] if front_matter else text
    reader = _Reader(line=1 + (front_matter.group().count("\n") if front_matter else 0))
    for token in MarkdownIt("commonmark").enable("table").parse(body):
        words = reader.read(token)
        if words:
            yield Block(words, {"line": reader.line_of_token}, reader.level)


@dataclass(slots=True)
class _Reader:
    """Position in the stream of tokens; ``line`` is the file's line on which the body begins."""

    line: int
    line_of_token: int = 1
    level: int = 0
    is_cell: bool = False
    cells: list[str] = field(default_factory=list)

    def read(self, token: Token) -> str:
        """Return the words of the block that ends with this token, else an empty string."""
        if token.map is not None:
            self.line_of_token = self.line + token.map[0]
        if token.type in _HEADINGS:
            self.level = int(token.tag[1]) if token.nesting == 1 else 0
        elif token.type in _CELLS:
            self.is_cell = token.nesting == 1
        elif token.type == "inline" and self.is_cell:
            self.cells.append(_words_of(token))
        elif token.type == "inline":
            return _words_of(token)
        elif token.type == "tr_close":
            row, self.cells = self.cells, []
            return " | ".join(cell for cell in row if cell)
        elif token.type == "html_block":
            return _without_tags(token.content)
        elif token.type in _VERBATIM:
            return token.content
        return ""


def _words_of(token: Token) -> str:
    words = []
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            words.append("\n")
        elif child.type == "image" or child.type in {"text", "code_inline"}:
            words.append(child.content)
    return "".join(words)


def _without_tags(html: str) -> str:
    body = LexborHTMLParser(html).body
    return " ".join(body.text(separator=" ").split()) if body is not None else ""
