"""Splitting of blocks into passages, which are what is embedded, searched and shown."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

from semantic_text_splitter import TextSplitter

from workloads.documents.blocks import Block
from workloads.documents.packing import Part, exceeds, parts_of, weigh, weigh_shape
from workloads.documents.sections import Path, path_after, sections_of
from workloads.documents.split_settings import Chunking, SizeUnit, SplitSettings

# The splitter breaks at the longest run of newlines that it finds: at headings first, then at paragraphs.
_BEFORE_HEADING, _BEFORE_PARAGRAPH = "\n\n\n", "\n\n"
# A part of more characters for each token of a chunk is split in windows of as many.
_WINDOW = 32

# The range of a passage in the text, and what its location has beside its place.
type _Range = tuple[int, int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Passage:
    """One future chunk: its position in the document, its text, and its location.

    ``location`` holds ``heading`` (the path of headings above the passage) and ``page``, ``line``, ``row`` or
    ``paragraph`` at which it begins; ``page_end`` if it ends on a later page. A child has ``parent``, the positions of
    the first and last passage of its parent, and if it is not the first ``joint``, what stands before it there. The
    summary has ``summary``, its model; its text is empty until the model has returned it.
    ``pieces`` are the text in parts, each with whether it is verbatim; they are not stored.
    """

    position: int
    text: str
    location: dict[str, Any]
    pieces: tuple[tuple[str, bool], ...] = field(default=(), compare=False, repr=False)

    @property
    def heading(self) -> str:
        """Return the path of headings as one line."""
        return " › ".join(self.location.get("heading", ()))

    @property
    def is_summary(self) -> bool:
        """Return whether it is the summary of the document, which is the last passage."""
        return "summary" in self.location

    @property
    def tokens(self) -> int:
        """Return the estimated number of tokens of the text."""
        return estimate_tokens(self.text)

    @property
    def characters(self) -> int:
        """Return the number of characters of the text."""
        return len(self.text)


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens that the embedding model makes of the text."""
    return round(weigh(text))


def split_blocks(blocks: Iterable[Block], settings: SplitSettings) -> list[Passage]:
    """Split a document's blocks into passages. Equal blocks and settings always give equal passages."""
    return list(iterate_passages(blocks, settings))


def iterate_passages(blocks: Iterable[Block], settings: SplitSettings) -> Iterator[Passage]:
    """Yield what `split_blocks` returns, so that the caller can stop it."""
    position = 0
    for path, section in sections_of(list(blocks), settings):
        for passage in _split(section, settings, path=path, first=position):
            yield passage
            position += 1


def passages_digest(passages: Sequence[Passage]) -> str:
    """Return the SHA-256 of the texts and locations.

    A job may continue where it stopped if the digest is still the same.
    """
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(f"{passage.text}\0{sorted(passage.location.items())}\0".encode())
    return digest.hexdigest()


def _split(blocks: Iterable[Block], settings: SplitSettings, *, path: Path, first: int) -> Iterator[Passage]:
    """Yield the passages of blocks under the headings of ``path``, numbered from ``first``."""
    source = _assemble(parts_of(blocks, settings), path)
    if settings.chunking is Chunking.PARENT_CHILD:
        ranges = _cut_parents(source, settings, first)
    else:
        cut = _cut(source, 0, len(source.text), settings.chunk_size, settings.overlap, settings.unit)
        ranges = ((start, end, {}) for start, end in cut)
    previous_end = 0
    for position, (start, end, more) in enumerate(ranges, start=first):
        begin, last = source.index_of(start), source.index_of(end - 1)
        whole = source.after_rest(begin, last) if start < previous_end else begin
        shown = start if whole == begin else source.offsets[whole]
        location = _location(source.places[whole], source.places[last]) | more
        yield Passage(position, source.text[shown:end], location, source.pieces(shown, end, whole, last))
        previous_end = end


def _cut_parents(source: _Source, settings: SplitSettings, first: int) -> Iterator[_Range]:
    """Yield the children of all parents; the passages before them are ``first``."""
    for begin, end in _cut(source, 0, len(source.text), settings.parent_size, 0, settings.unit):
        children = list(_cut(source, begin, end, settings.chunk_size, 0, settings.unit))
        parent = [first, first + len(children) - 1]
        joined_at = begin
        for number, (start, stop) in enumerate(children):
            joint = {"joint": source.text[joined_at:start]} if number else {}
            yield start, stop, {"parent": parent, **joint}
            joined_at = stop
        first += len(children)


def _cut(source: _Source, begin: int, end: int, size: int, overlap: int, unit: SizeUnit) -> Iterator[tuple[int, int]]:
    """Yield the ranges of the passages between two offsets of a document.

    One with a very long part is split in windows, else the time would grow with the square of its length. The last
    passage of a window, which its end may have cut, is the first of the next one.
    """
    splitter = TextSplitter.from_callback(partial(_length, size=size, unit=unit), size, overlap)
    reach = _WINDOW * size if source.longest > _WINDOW * size else end - begin
    while begin < end:
        stop = min(begin + reach, end)
        found = splitter.chunk_indices(source.shape[begin:stop])
        if stop < end and len(found) > 1:
            found.pop()
            stop = begin + found[-1][0] + len(found[-1][1])
        yield from ((begin + start, begin + start + len(piece)) for start, piece in found)
        begin = stop


def _length(shape: str, *, size: int, unit: SizeUnit) -> int:
    is_over = unit is SizeUnit.TOKENS and exceeds(shape, size)
    return size + 1 if is_over else round(weigh_shape(shape, unit))


@dataclass(frozen=True, slots=True)
class _Source:
    """A document as one text, its shape as in `packing`, and for each part its offset and location.

    ``longest`` is the length of its longest part.
    """

    text: str
    shape: str
    offsets: list[int]
    places: list[dict[str, Any]]
    is_rest: list[bool]
    is_verbatim: list[bool]
    longest: int = 0

    def index_of(self, offset: int) -> int:
        """Return the index of the part at an offset of the text."""
        return bisect_right(self.offsets, offset) - 1

    def pieces(self, start: int, end: int, first: int, last: int) -> tuple[tuple[str, bool], ...]:
        """Return the text between two offsets, which are in these parts, by runs of parts that are verbatim or not."""
        found = []
        for is_verbatim, run in groupby(range(first, last + 1), self.is_verbatim.__getitem__):
            stop = end if (after := max(run) + 1) > last else self.offsets[after]
            found.append((self.text[start:stop], is_verbatim))
            start = stop
        return tuple(found)

    def after_rest(self, begin: int, last: int) -> int:
        """Return the first part that continues no other: the end of a listing is not repeated without its beginning."""
        return next((index for index in range(begin, last) if not self.is_rest[index]), last)


def _assemble(parts: Iterable[Part], path: Path) -> _Source:
    texts: list[str] = []
    shapes: list[str] = []
    source = _Source("", "", [], [], [], [])
    length = 0
    previous_level = 0
    for part in parts:
        path = path_after(path, part)
        if texts:
            # A heading directly under another stays with it.
            gap = _BEFORE_HEADING if part.level and not previous_level else _BEFORE_PARAGRAPH
            gap = "\n" if previous_level else gap
            texts.append(gap)
            shapes.append(gap)
            length += len(gap)
        source.offsets.append(length)
        place = {**part.location, "heading": [title for _, title in path]} if path else dict(part.location)
        source.places.append(place)
        source.is_rest.append(part.is_rest)
        source.is_verbatim.append(part.is_verbatim)
        texts.append(part.text)
        shapes.append(part.shape)
        length += len(part.text)
        previous_level = part.level
    return replace(source, text="".join(texts), shape="".join(shapes), longest=max(map(len, texts), default=0))


def _location(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    location = dict(first)
    if last.get("page") != first.get("page"):
        location["page_end"] = last["page"]
    return location
