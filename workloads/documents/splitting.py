"""Splitting of blocks into passages, which are what is embedded, searched and shown."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from semantic_text_splitter import TextSplitter

from workloads.documents.blocks import Block
from workloads.documents.packing import Part, parts_of, weigh, weigh_shape

MIN_CHUNK_SIZE, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE = 20, 200, 1_000
DEFAULT_OVERLAP = 20
# The splitter breaks at the longest run of newlines that it finds: at headings first, then at paragraphs.
_BEFORE_HEADING, _BEFORE_PARAGRAPH = "\n\n\n", "\n\n"

# Headings above a place, each with its level.
type _Path = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """The maximum length of a passage, and how much of it the next one repeats, both in estimated tokens."""

    chunk_size: int = DEFAULT_CHUNK_SIZE
    overlap: int = DEFAULT_OVERLAP


@dataclass(frozen=True, slots=True)
class Passage:
    """One future chunk: its position in the document, its text, and its location.

    ``location`` holds ``heading`` (the path of headings above the passage) and ``page``, ``line``, ``row`` or
    ``paragraph`` at which it begins; ``page_end`` if it ends on a later page.
    """

    position: int
    text: str
    location: dict[str, Any]

    @property
    def heading(self) -> str:
        """Return the path of headings as one line."""
        return " › ".join(self.location.get("heading", ()))


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens that the embedding model makes of the text."""
    return round(weigh(text))


def split_blocks(blocks: Iterable[Block], settings: SplitSettings) -> list[Passage]:
    """Split a document's blocks into passages. Equal blocks and settings always give equal passages."""
    return list(_split(blocks, settings))


def split_sections(blocks: Iterable[Block], settings: SplitSettings, *, level: int) -> list[Passage]:
    """Split blocks as `split_blocks` does, but so that no passage crosses a heading of ``level`` or above.

    A heading that directly follows another one begins no section.
    """
    passages: list[Passage] = []
    for path, section in _sections(blocks, level):
        passages.extend(_split(section, settings, path=path, first=len(passages)))
    return passages


def passages_digest(passages: Sequence[Passage]) -> str:
    """Return the SHA-256 of the texts and locations.

    A job may continue where it stopped if the digest is still the same.
    """
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(f"{passage.text}\0{sorted(passage.location.items())}\0".encode())
    return digest.hexdigest()


def _split(blocks: Iterable[Block], settings: SplitSettings, *, path: _Path = (), first: int = 0) -> Iterator[Passage]:
    """Yield the passages of blocks under the headings of ``path``, numbered from ``first``."""
    source = _assemble(parts_of(blocks, settings.chunk_size), path)
    if not source.text:
        return
    splitter = TextSplitter.from_callback(
        lambda shape: round(weigh_shape(shape)), settings.chunk_size, settings.overlap
    )
    previous_end = 0
    for position, (start, piece) in enumerate(splitter.chunk_indices(source.shape), start=first):
        end = start + len(piece)
        begin, last = source.index_of(start), source.index_of(end - 1)
        whole = source.after_rest(begin, last) if start < previous_end else begin
        text = source.text[start if whole == begin else source.offsets[whole] : end]
        yield Passage(position, text, _location(source.places[whole], source.places[last]))
        previous_end = end


def _sections(blocks: Iterable[Block], level: int) -> Iterator[tuple[_Path, list[Block]]]:
    """Yield the blocks from one heading of ``level`` or above to the next, each with the headings above its first."""
    path: _Path = ()
    above: _Path = ()
    section: list[Block] = []
    has_text = False
    for block in blocks:
        if 0 < block.level <= level and has_text:
            yield above, section
            above, section, has_text = path, [], False
        section.append(block)
        path = _path_after(path, block)
        has_text = has_text or not block.level
    if section:
        yield above, section


def _path_after(path: _Path, block: Block | Part) -> _Path:
    """Return the headings above what follows the block."""
    if not block.level:
        return path
    kept = tuple(heading for heading in path if heading[0] < block.level)
    return (*kept, (block.level, " ".join(block.text.split())))


@dataclass(frozen=True, slots=True)
class _Source:
    """A document as one text, its shape as in `packing`, and for each part its offset and location."""

    text: str
    shape: str
    offsets: list[int]
    places: list[dict[str, Any]]
    is_rest: list[bool]

    def index_of(self, offset: int) -> int:
        """Return the index of the part at an offset of the text."""
        return bisect_right(self.offsets, offset) - 1

    def after_rest(self, begin: int, last: int) -> int:
        """Return the first part that continues no other: the end of a listing is not repeated without its beginning."""
        return next((index for index in range(begin, last) if not self.is_rest[index]), last)


def _assemble(parts: Iterable[Part], path: _Path) -> _Source:
    texts: list[str] = []
    shapes: list[str] = []
    source = _Source("", "", [], [], [])
    length = 0
    previous_level = 0
    for part in parts:
        path = _path_after(path, part)
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
        texts.append(part.text)
        shapes.append(part.shape)
        length += len(part.text)
        previous_level = part.level
    return replace(source, text="".join(texts), shape="".join(shapes))


def _location(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    location = dict(first)
    if last.get("page") != first.get("page"):
        location["page_end"] = last["page"]
    return location
