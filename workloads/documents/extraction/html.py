"""Reader of HTML by selectolax (lexbor): the main content in blocks, without navigation, scripts and hidden text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.decoding import decode
from workloads.documents.extraction.errors import FileTooComplexError
from workloads.documents.extraction.html_content import Content
from workloads.documents.extraction.limits import MAX_DEPTH
from workloads.documents.extraction.rows import Grid, Row, table_blocks

_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption"
        " figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu ol p pre search section"
        " summary table tbody td tfoot th thead tr ul",
    )
)
_KINDS = {
    "pre": BlockKind.CODE,
    "li": BlockKind.LIST_ITEM,
    "caption": BlockKind.CAPTION,
    "figcaption": BlockKind.CAPTION,
}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# A table with one of these in a cell lays a page out.
_LAYOUT = "table, pre, h1, h2, h3, h4, h5, h6, form"
_SPACE = re.compile(r"\s+")


def read_html(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the headings and blocks of text of an HTML file. Their ``paragraph`` counts the blocks."""
    yield from html_blocks(decode(data, facts, is_html=True))


def html_blocks(html: str) -> Iterator[Block]:
    """Yield the blocks of an HTML page.

    Its title comes first as a heading, unless the main content has a heading of level 1.
    """
    tree = LexborHTMLParser(html)
    blocks = _read(Content.main_of(tree))
    if not any(not block.level for block in blocks):
        blocks = _read(Content.all_of(tree))
    title = tree.css_first("title")
    if title is not None and not any(block.level == 1 for block in blocks):
        text = _SPACE.sub(" ", title.text()).strip()
        if text:
            yield Block(text, {}, level=1)
    yield from blocks


def _read(content: Content) -> list[Block]:
    writer = _Writer()
    if content.root is not None:
        _walk(content.root, content, writer)
    return writer.blocks


@dataclass(slots=True)
class _Writer:
    """Collector of text until a block ends."""

    blocks: list[Block] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    level: int = 0
    preformatted: int = 0
    kinds: list[BlockKind] = field(default_factory=lambda: [BlockKind.PARAGRAPH])

    def add(self, text: str) -> None:
        self.parts.append(text if self.preformatted else _SPACE.sub(" ", text))

    def end_block(self) -> None:
        text = "".join(self.parts)
        self.parts.clear()
        kind = self.kinds[-1]
        if text.strip():
            self.put(Block(text if kind is BlockKind.CODE else text.strip(), {}, self.level, kind))

    def put(self, block: Block) -> None:
        """Add a block after those before it, with their number as its location."""
        place = {"paragraph": len(self.blocks) + 1}
        self.blocks.append(Block(block.text, place, block.level, block.kind, block.header))


def _walk(root: LexborNode, content: Content, writer: _Writer) -> None:
    """Visit the elements depth first, without recursion, because a hostile page would exceed the recursion limit."""
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    depth = 0
    while stack:
        node, is_end = stack.pop()
        if is_end:
            depth -= 1
            _leave(node, content, writer)
        elif node.is_text_node:
            writer.add(node.text_content or "")
        elif node.is_element_node and not content.is_left_out(node):
            depth += 1
            if depth > MAX_DEPTH:
                raise FileTooComplexError(f"The page nests elements more than {MAX_DEPTH} deep.")
            if node.tag == "table" and _is_data(node):
                depth -= 1
                writer.end_block()
                _put_table(node, content, writer)
                continue
            _enter(node, content, writer)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))


def _enter(node: LexborNode, content: Content, writer: _Writer) -> None:
    tag = node.tag or ""
    if tag == "br":
        writer.parts.append("\n")
    elif tag == "img":
        writer.add(f" {node.attributes.get('alt') or ''} ")
    elif tag in _BLOCKS:
        if not writer.preformatted:
            writer.end_block()
        kind = BlockKind.FOOTNOTE if content.is_footnote(node) else _KINDS.get(tag)
        writer.kinds.append(kind or writer.kinds[-1])
        writer.level = _HEADINGS.get(tag, writer.level)
        writer.preformatted += tag == "pre"


def _leave(node: LexborNode, content: Content, writer: _Writer) -> None:
    tag = node.tag or ""
    if tag not in _BLOCKS:
        return
    writer.preformatted -= tag == "pre"
    if not writer.preformatted:
        writer.end_block()
    elif not "".join(writer.parts[-1:]).endswith("\n"):
        writer.parts.append("\n")  # a line of a listing is an element
    writer.kinds.pop()
    if tag in _HEADINGS:
        writer.level = 0


def _is_data(table: LexborNode) -> bool:
    """Return True for a table of data: of several columns, and without blocks that only a page has."""
    if any(inner.mem_id != table.mem_id for inner in table.css(_LAYOUT)):
        return False
    return any(len(_cells(row)) > 1 for row in table.css("tr"))


def _put_table(table: LexborNode, content: Content, writer: _Writer) -> None:
    caption = table.css_first("caption")
    if caption is not None and (text := _text_of(caption, content)):
        writer.put(Block(text, kind=BlockKind.CAPTION))
    rows: list[Row] = []
    grid, has_header = Grid(), False
    for row in table.css("tr"):
        if content.is_left_out(row):
            continue
        cells = _cells(row)
        has_header = has_header or (not rows and bool(cells) and all(cell.tag == "th" for cell in cells))
        spans = [(cell.attributes.get("colspan"), cell.attributes.get("rowspan")) for cell in cells]
        rows.append((grid.place([_text_of(cell, content) for cell in cells], spans), {}))
    for block in table_blocks(rows, has_header=has_header):
        writer.put(block)


def _cells(row: LexborNode) -> list[LexborNode]:
    return [cell for cell in row.iter() if cell.tag in {"td", "th"}]


def _text_of(node: LexborNode, content: Content) -> str:
    writer = _Writer()
    _walk(node, content, writer)
    return " ".join(block.text for block in writer.blocks)
