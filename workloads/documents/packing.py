"""Packing of code and tables into parts that splitting keeps whole.

A part has a shape: a text of the same length that stands for it while passages are cut. The shape of a part that fits
into a chunk is one word, so that it is never cut; only a line that is longer than a chunk is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from workloads.documents.blocks import Block, BlockKind
from workloads.documents.terms import UNSPACED

# Letters of a spaced script per token of the embedding's vocabulary, about.
_LETTERS_A_TOKEN = 4
# Tokens per character of an unspaced script, whose words are one or two characters long.
_TOKENS_AN_UNSPACED_CHARACTER = 0.75
# Between these characters there is no end of a word. The second stands for one of an unspaced script, the third for a
# space after a space, which counts nothing.
_NARROW, _WIDE, _FREE = "_", "ア", "⁀"
_NARROWED = re.compile("[^ア⁀]")
# A longer run counts once again.
_SPACES = re.compile(r"[ \t]{2,64}")
# A listing is cut at a blank line, if the rest of the chunk is at most this.
_MAX_REST_SHARE = 0.25
# A header that takes more of a chunk than this is not repeated.
_MAX_HEADER_SHARE = 0.5

type _Line = tuple[str, Block, int]


@dataclass(frozen=True, slots=True)
class Part:
    """A block, or a part of one of code or of a table. ``is_rest`` says that it continues the part before it."""

    text: str
    shape: str
    location: Mapping[str, Any]
    level: int = 0
    is_rest: bool = False


def weigh(text: str) -> float:
    """Return the estimated number of tokens that the embedding model makes of the text, not rounded."""
    unspaced = 0 if text.isascii() else len(UNSPACED.findall(text))
    return unspaced * _TOKENS_AN_UNSPACED_CHARACTER + (len(text) - unspaced) / _LETTERS_A_TOKEN


def weigh_shape(shape: str) -> float:
    """Return the estimated number of tokens of a text that has this shape."""
    return weigh(shape) - shape.count(_FREE) / _LETTERS_A_TOKEN


def parts_of(blocks: Iterable[Block], size: int) -> Iterator[Part]:
    """Yield the parts of a document. ``size`` is the maximum of a chunk in tokens."""
    for (kind, header), run in groupby(blocks, _run_key):
        if kind is BlockKind.TABLE:
            yield from _pack([line for block in run for line in _lines_of(block)], header, size)
        elif kind is BlockKind.CODE:
            for block in run:
                yield from _pack(_lines_of(block), "", size)
        else:
            yield from (Part(block.text, block.text, block.location, block.level) for block in run)


def _run_key(block: Block) -> tuple[BlockKind, str]:
    """Return a key that is equal for the blocks of one table."""
    return block.kind, block.header


def _lines_of(block: Block) -> list[_Line]:
    return [(line, block, number) for number, line in enumerate(block.text.split("\n"))]


def _pack(lines: Sequence[_Line], header: str, size: int) -> Iterator[Part]:
    """Yield as many lines at a time as fit into a chunk, each time below the header."""
    room = size - weigh(header)
    is_repeated = room >= size * (1 - _MAX_HEADER_SHARE)
    if header and not is_repeated:
        lines, header, room = [(header, *lines[0][1:]), *lines], "", size
    is_rest = False
    for group in _groups(lines, room):
        text = "\n".join([header] * bool(header) + [line for line, *_ in group])
        yield Part(text, _shape(text, size), _place(group[0]), is_rest=is_rest)
        is_rest = True


def _groups(lines: Sequence[_Line], room: float) -> Iterator[Sequence[_Line]]:
    """Yield runs of lines that fit into the room, without blank lines at their ends, and not empty."""
    begin, weight, index = 0, 0.0, 0
    while index < len(lines):
        added = weigh(_SPACES.sub(_NARROW, lines[index][0])) + 1 / _LETTERS_A_TOKEN
        if index > begin and weight + added > room:
            end = _best_end(lines, begin, index)
            yield from _trimmed(lines[begin:end])
            begin, index, weight = end, end, 0.0
        else:
            weight += added
            index += 1
    yield from _trimmed(lines[begin:])


def _best_end(lines: Sequence[_Line], begin: int, end: int) -> int:
    """Return where to end a run of lines: after the last blank line near its end, else at its end."""
    least = end - int((end - begin) * _MAX_REST_SHARE)
    return next((index for index in range(end, least, -1) if not lines[index - 1][0].strip()), end)


def _trimmed(lines: Sequence[_Line]) -> Iterator[Sequence[_Line]]:
    filled = [index for index, (line, *_) in enumerate(lines) if line.strip()]
    if filled:
        yield lines[filled[0] : filled[-1] + 1]


def _shape(text: str, size: int) -> str:
    spaced = _SPACES.sub(_free, text)
    # Measured as the splitter does: rounded.
    if round(weigh_shape(spaced)) > size:
        indent = len(text) - len(text.lstrip())
        return _NARROW * indent + text[indent:]
    return _NARROWED.sub(_NARROW, spaced if text.isascii() else UNSPACED.sub(_WIDE, spaced))


def _free(run: re.Match[str]) -> str:
    return _NARROW + _FREE * (len(run[0]) - 1)


def _place(line: _Line) -> Mapping[str, Any]:
    """Return the location of a line of a block."""
    _, block, number = line
    if not number or block.kind is not BlockKind.CODE or "line" not in block.location:
        return block.location
    return {**block.location, "line": block.location["line"] + number}
