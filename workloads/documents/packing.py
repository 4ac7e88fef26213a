"""Packing of a document into parts: code and tables that splitting keeps whole, and prose that it cuts at sentences.

A part has a shape: a text of the same length that stands for it while passages are cut. The shape of code that fits
into a chunk is one word, so that it is never cut; only a line that is longer than a chunk is. That of prose has a line
end only where a line has a meaning, since the splitter prefers the end of a line to that of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from workloads.documents.blocks import Block, BlockKind
from workloads.documents.split_settings import SizeUnit, SplitSettings
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
# Prose in which a sentence ends within a line has lines that only the margin broke, except before items of lists.
_END_IN_LINE = re.compile(r"[.!?…][\"')\]”’」』）]*+[ \t]++\S|[。！？][”’」』）]*+[^\n]")
_BROKEN_LINE = re.compile(r"(?<!\n)\n(?!\n|[-*•·–—][ \t]|[\d.]{1,12}[.)、]?[ \t])")
# A bracket or quote that opens after a sentence; the splitter takes it for a part of the sentence.
_OPENING = re.compile(r"(?<=[。！？])[（“‘「『《【(\[]")
# A listing is cut at a blank line, if the rest of the chunk is at most this.
_MAX_REST_SHARE = 0.25
# A header that takes more of a chunk than this is not repeated.
_MAX_HEADER_SHARE = 0.5

type _Line = tuple[str, Block, int]


@dataclass(frozen=True, slots=True)
class Part:
    """A block, or a part of one of code or of a table, which are verbatim.

    ``is_rest`` says that it continues the part before it.
    """

    text: str
    shape: str
    location: Mapping[str, Any]
    level: int = 0
    is_rest: bool = False
    is_verbatim: bool = False


def weigh(text: str, unit: SizeUnit = SizeUnit.TOKENS) -> float:
    """Return the length of a text in the unit; its tokens are estimated as those of the embedding model."""
    if unit is SizeUnit.CHARACTERS:
        return len(text)
    unspaced = 0 if text.isascii() else len(UNSPACED.findall(text))
    return unspaced * _TOKENS_AN_UNSPACED_CHARACTER + (len(text) - unspaced) / _LETTERS_A_TOKEN


def weigh_shape(shape: str, unit: SizeUnit = SizeUnit.TOKENS) -> float:
    """Return the length of a text that has this shape, in the unit."""
    return weigh(shape, unit) - (0 if unit is SizeUnit.CHARACTERS else shape.count(_FREE) / _LETTERS_A_TOKEN)


def exceeds(shape: str, tokens: int) -> bool:
    """Return True if the shape surely has more tokens, by its length only; a long one need not be weighed."""
    least = _LETTERS_A_TOKEN * (tokens + 1)
    return len(shape) > least and len(shape) - shape.count(_FREE) > least


def parts_of(blocks: Iterable[Block], settings: SplitSettings) -> Iterator[Part]:
    """Yield the parts of a document, of which none but a long line or prose is longer than a chunk."""
    for (kind, header), run in groupby(blocks, _run_key):
        if kind is BlockKind.TABLE:
            yield from _pack([line for block in run for line in _lines_of(block)], header, settings)
        elif kind is BlockKind.CODE:
            for block in run:
                yield from _pack(_lines_of(block), "", settings)
        else:
            yield from (Part(block.text, _prose_shape(block.text), block.location, block.level) for block in run)


def _run_key(block: Block) -> tuple[BlockKind, str]:
    """Return a key that is equal for the blocks of one table."""
    return block.kind, block.header


def _lines_of(block: Block) -> list[_Line]:
    return [(line, block, number) for number, line in enumerate(block.text.split("\n"))]


def _prose_shape(text: str) -> str:
    shape = _OPENING.sub(_NARROW, text)
    return _BROKEN_LINE.sub(" ", shape) if "\n" in text and _END_IN_LINE.search(text) else shape


def _pack(lines: Sequence[_Line], header: str, settings: SplitSettings) -> Iterator[Part]:
    """Yield as many lines at a time as fit into a chunk, each time below the header."""
    size = settings.chunk_size
    room = size - weigh(header, settings.unit)
    is_repeated = room >= size * (1 - _MAX_HEADER_SHARE)
    if header and not is_repeated:
        lines, header, room = [(header, *lines[0][1:]), *lines], "", size
    is_rest = False
    for group in _groups(lines, room, settings.unit):
        text = "\n".join([header] * bool(header) + [line for line, *_ in group])
        yield Part(text, _shape(text, settings), _place(group[0]), is_rest=is_rest, is_verbatim=True)
        is_rest = True


def _groups(lines: Sequence[_Line], room: float, unit: SizeUnit) -> Iterator[Sequence[_Line]]:
    """Yield runs of lines that fit into the room, without blank lines at their ends, and not empty."""
    begin, weight, index = 0, 0.0, 0
    while index < len(lines):
        line = lines[index][0]
        added = weigh((line if unit is SizeUnit.CHARACTERS else _SPACES.sub(_NARROW, line)) + "\n", unit)
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


def _shape(text: str, settings: SplitSettings) -> str:
    spaced = _SPACES.sub(_free, text)
    # Measured as the splitter does: rounded.
    if round(weigh_shape(spaced, settings.unit)) > settings.chunk_size:
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
