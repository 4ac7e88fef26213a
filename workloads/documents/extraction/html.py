"""Reader of HTML by selectolax (lexbor): the text in blocks, without scripts, styles and navigation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.decoding import decode
from workloads.documents.extraction.errors import FileTooComplexError
from workloads.documents.extraction.limits import MAX_DEPTH

_SKIPPED = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "canvas",
        "iframe",
        "object",
        "head",
        "nav",
        "select",
        "button",
        "input",
        "textarea",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "ol",
        "p",
        "pre",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = frozenset({"td", "th"})
_SPACE = re.compile(r"\s+")


def read_html(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the headings and blocks of text of an HTML file. Their ``paragraph`` counts the blocks."""
    yield from html_blocks(decode(data, is_html=True))


def html_blocks(html: str) -> Iterator[Block]:
    """Yield the blocks of an HTML page.

    Its title comes first as a heading, unless the body has a heading of level 1.
    """
    tree = LexborHTMLParser(html)
    writer = _Writer()
    if tree.body is not None:
        _walk(tree.body, writer)
    title = tree.css_first("title")
    if title is not None and not any(block.level == 1 for block in writer.blocks):
        text = _SPACE.sub(" ", title.text()).strip()
        if text:
            yield Block(text, {}, level=1)
    yield from writer.blocks


@dataclass(slots=True)
class _Writer:
    """Collector of text until a block ends."""

    blocks: list[Block] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    level: int = 0
    preformatted: int = 0

    def add(self, text: str) -> None:
        self.parts.append(text if self.preformatted else _SPACE.sub(" ", text))

    def end_block(self) -> None:
        text = "".join(self.parts).strip().removesuffix("|").strip()
        self.parts.clear()
        if text:
            self.blocks.append(Block(text, {"paragraph": len(self.blocks) + 1}, self.level))


def _walk(root: LexborNode, writer: _Writer) -> None:
    """Visit the elements depth first, without recursion, because a hostile page would exceed the recursion limit."""
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    depth = 0
    while stack:
        node, is_end = stack.pop()
        if is_end:
            depth -= 1
            _leave(node.tag or "", writer)
        elif node.is_text_node:
            writer.add(node.text_content or "")
        elif node.is_element_node and node.tag not in _SKIPPED and "hidden" not in node.attributes:
            depth += 1
            if depth > MAX_DEPTH:
                raise FileTooComplexError(f"The page nests elements more than {MAX_DEPTH} deep.")
            _enter(node.tag or "", writer)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))


def _enter(tag: str, writer: _Writer) -> None:
    if tag == "br":
        writer.parts.append("\n")
    if tag in _BLOCKS:
        writer.end_block()
    if tag in _HEADINGS:
        writer.level = _HEADINGS[tag]
    if tag == "pre":
        writer.preformatted += 1


def _leave(tag: str, writer: _Writer) -> None:
    if tag in _CELLS:
        writer.parts.append(" | ")
    if tag in _BLOCKS:
        writer.end_block()
    if tag in _HEADINGS:
        writer.level = 0
    if tag == "pre":
        writer.preformatted -= 1
