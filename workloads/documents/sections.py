"""Sections of a document, whose ends no passage crosses: below headings, pages, or questions with their answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, repeat
from operator import itemgetter

from workloads.documents.blocks import Block, BlockKind
from workloads.documents.packing import Part
from workloads.documents.split_settings import LOWEST_HEADING, Chunking, SplitSettings

# A line that begins with a question, the header of a table of pairs, and a row of CSV with the names of its columns.
_QUESTION = re.compile(r"[ \t]*+(?:question|q|问题?)[ \t]?\d{0,4}[ \t]?[:：]", re.IGNORECASE)
_PAIR_HEADER = re.compile(r"(?:questions?|q|问题?) \| (?:answers?|a|答案?|回答)", re.IGNORECASE)
_PAIR_ROW = re.compile(r"(?:questions?|q|问题?): .*?; (?:answers?|a|答案?|回答): ", re.IGNORECASE | re.DOTALL)
# What ends a pair: a heading of its own level or above, any heading, any block.
_UNTIL_HEADING, _ONE_BLOCK = LOWEST_HEADING, LOWEST_HEADING + 1

# Headings above a place, each with its level.
type Path = tuple[tuple[int, str], ...]


def sections_of(blocks: Sequence[Block], settings: SplitSettings) -> Iterator[tuple[Path, list[Block]]]:
    """Yield the sections of a document as the strategy wants them, each with the headings above its first block.

    A heading that directly follows another one begins no section.
    """
    numbers: Iterable[int] = repeat(0)
    if settings.chunking is Chunking.HEADING:
        numbers = _number_by_heading(blocks, settings.heading_level)
    elif settings.chunking is Chunking.PAGE:
        numbers = _number_by_page(blocks)
    elif settings.chunking is Chunking.QA:
        blocks = [part for block in blocks for part in _at_questions(block)]
        numbers = _number_by_pair(blocks)
    path: Path = ()
    for _, run in groupby(zip(numbers, blocks, strict=False), itemgetter(0)):
        section = [block for _, block in run]
        yield path, section
        for block in section:
            path = path_after(path, block)


def path_after(path: Path, block: Block | Part) -> Path:
    """Return the headings above what follows the block."""
    if not block.level:
        return path
    kept = tuple(heading for heading in path if heading[0] < block.level)
    return (*kept, (block.level, " ".join(block.text.split())))


def _number_by_heading(blocks: Iterable[Block], level: int) -> Iterator[int]:
    number, has_text = 0, False
    for block in blocks:
        if 0 < block.level <= level and has_text:
            number, has_text = number + 1, False
        has_text = has_text or not block.level
        yield number


def _number_by_page(blocks: Iterable[Block]) -> Iterator[int]:
    page = 0
    for block in blocks:
        page = block.location.get("page", page)
        yield page


def _number_by_pair(blocks: Iterable[Block]) -> Iterator[int]:
    """Yield for each block the number of its pair. Blocks between two pairs have one number, too."""
    number, has_text, until = 0, False, 0
    for block in blocks:
        found = _pair_until(block)
        if found or until == _ONE_BLOCK or 0 < block.level <= until:
            number, has_text, until = number + has_text, False, found
        has_text = has_text or not block.level
        yield number


def _pair_until(block: Block) -> int:
    """Return what ends the pair that begins with the block; 0 if none begins."""
    if block.level:
        return block.level if block.text.rstrip().endswith(("?", "？")) else 0
    if block.kind is BlockKind.TABLE:
        is_pair = _PAIR_HEADER.fullmatch(block.header) or _PAIR_ROW.match(block.text)
        return _ONE_BLOCK if is_pair else 0
    return _UNTIL_HEADING if block.kind is not BlockKind.CODE and _QUESTION.match(block.text) else 0


def _at_questions(block: Block) -> Iterator[Block]:
    """Yield the parts of a block: one for each row of a table of pairs, else from one line with a question on."""
    is_row = block.kind is BlockKind.TABLE and _PAIR_HEADER.fullmatch(block.header) is not None
    if not is_row and (block.is_verbatim or block.level):
        yield block
        return
    lines = block.text.split("\n")
    begins = [number for number, line in enumerate(lines) if number and (is_row or _QUESTION.match(line))]
    for begin, end in zip([0, *begins], [*begins, len(lines)], strict=True):
        moved = {name: value + begin for name, value in block.location.items() if name == "line"}
        yield replace(block, text="\n".join(lines[begin:end]), location={**block.location, **moved})
