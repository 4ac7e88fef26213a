"""Readers of files that are text: prose in paragraphs; source code, logs, JSON and XML as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.decoding import decode

# A line of one of these signs below a line of text makes it a heading (reStructuredText, Markdown, and by hand).
_UNDERLINE = re.compile(r"([=\-~^\"*+#`:.])\1{2,}\s*+")
_INDENTED = re.compile(r"[ \t]+[^ \t]")
_SET_IN = re.compile(r"(?: {2}|\t)")
_MAX_LEVEL = 6
_LONG_LINE = 500
_MAX_TITLE_LENGTH = 200

# The lines of a paragraph, and the number of the first.
type _Paragraph = tuple[int, list[str]]


def read_text(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the blocks of a file of plain text, as `text_blocks` does."""
    yield from text_blocks(decode(data, facts))


def read_source(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the lines of a file of source code or of a log, as one block."""
    yield Block(decode(data, facts), {"line": 1}, kind=BlockKind.CODE)


def read_json(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield a file of JSON as one block. One that has no line ends is indented."""
    text = decode(data, facts)
    if _has_long_lines(text):
        try:
            text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
        except ValueError as error:
            facts.warn(f"The file is not valid JSON ({error}); it is indexed as text.")
    yield Block(text, {"line": 1}, kind=BlockKind.CODE)


def read_xml(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield a file of XML as one block, without resolving anything. One that has no line ends gets one per element."""
    text = decode(data, facts)
    yield Block(text.replace("><", ">\n<") if _has_long_lines(text) else text, {"line": 1}, kind=BlockKind.CODE)


def text_blocks(text: str) -> Iterator[Block]:
    """Yield one block per paragraph, that is per run of lines between blank lines.

    Paragraphs whose lines are indented are verbatim, together with the blank lines between them. Underlined lines are
    headings, whose levels are those of the underlines in the order of their first use. ``line`` is a block's first line
    in the file.
    """
    levels: dict[str, int] = {}
    for is_code, run in groupby(_paragraphs(text), lambda paragraph: _is_code(paragraph[1])):
        if is_code:
            yield _listing(list(run))
            continue
        for first, lines in run:
            if mark := _heading_mark(lines):
                level = levels.setdefault(mark, min(len(levels) + 1, _MAX_LEVEL))
                yield Block(lines[0].strip(), {"line": first}, level)
                first, lines = first + 2, lines[2:]  # noqa: PLW2901 - what follows the heading
            if lines:
                yield Block("\n".join(lines), {"line": first})


def _has_long_lines(text: str) -> bool:
    """Return True if the lines of a file are too long to be read by people."""
    return len(text) > _LONG_LINE * (text.count("\n") + 1)


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            lines.append(line)
        elif lines:
            yield number - len(lines), lines
            lines = []
    if lines:
        yield number - len(lines) + 1, lines


def _is_code(lines: Sequence[str]) -> bool:
    """Return True if a line is indented; one space says nothing at the begin of a paragraph."""
    return bool(_SET_IN.match(lines[0])) or any(map(_INDENTED.match, lines[1:]))


def _listing(run: Sequence[_Paragraph]) -> Block:
    """Return neighbouring paragraphs as one block, with the blank lines between them."""
    begin = last = run[0][0]
    text: list[str] = []
    for first, lines in run:
        text.extend([""] * (first - last))
        text.extend(lines)
        last = first + len(lines)
    return Block("\n".join(text), {"line": begin}, kind=BlockKind.CODE)


def _heading_mark(lines: Sequence[str]) -> str:
    """Return the sign that underlines the first line, else an empty string."""
    if len(lines) < 2 or len(lines[0]) > _MAX_TITLE_LENGTH:
        return ""
    found = _UNDERLINE.fullmatch(lines[1])
    return found[1] if found and len(lines[1].strip()) >= len(lines[0].strip()) // 2 else ""
