"""Markdown by markdown-it: the words without the marks, the headings and lines kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser

from scheduling.processors.document_indexing.extraction.decoding import decode
from scheduling.processors.retrieval.blocks import Block

_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_VERBATIM = frozenset({"fence", "code_block"})
_CELLS = frozenset({"th_open", "th_close", "td_open", "td_close"})


def read_markdown(data: bytes) -> Iterator[Block]:
    """One block a heading, paragraph, list item, code block or table row; ``line`` is the line in the file."""
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    front_matter = _FRONT_MATTER.match(text)
    skipped = front_matter.group().count("\n") if front_matter else 0
    body = text[front_matter.end() :] if front_matter else text
    level, line = 0, skipped + 1
    cells: list[str] = []
    is_cell = False
    for token in MarkdownIt("commonmark").enable("table").parse(body):
        if token.map is not None:
            line = skipped + token.map[0] + 1
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type == "heading_close":
            level = 0
        elif token.type in _CELLS:
            is_cell = token.nesting == 1
        elif token.type == "tr_open":
            cells = []
        elif token.type == "tr_close":
            yield Block(" | ".join(cell for cell in cells if cell), {"line": line})
            cells = []
        elif token.type in _VERBATIM:
            yield Block(token.content, {"line": line})
        elif token.type == "html_block":
            yield Block(_without_tags(token.content), {"line": line})
        elif token.type == "inline" and is_cell:
            cells.append(_words_of(token))
        elif token.type == "inline":
            yield Block(_words_of(token), {"line": line}, level)


def _words_of(token: Token) -> str:
    words = []
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            words.append("\n")
        elif child.type == "image":
            words.append(child.content)
        elif child.type in {"text", "code_inline"}:
            words.append(child.content)
    return "".join(words)


def _without_tags(html: str) -> str:
    body = LexborHTMLParser(html).body
    return body.text(separator=" ", strip=True) if body is not None else ""
