"""Values that extraction returns: blocks of text with their positions, and facts about the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

# Between the cells of a row, which is a line. Empty cells stay, so that no value changes its column.
CELL_SEPARATOR: Final = " | "
MAX_WARNINGS: Final = 20
MAX_WARNING_CHARACTERS: Final = 300


class BlockKind(StrEnum):
    """What a block is. Code is kept verbatim; rows of tables are kept whole."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    LIST_ITEM = "list_item"
    CODE = "code"
    TABLE = "table"
    FOOTNOTE = "footnote"
    CAPTION = "caption"


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading, listing, or table of a document; a long table may be several blocks of equal header.

    ``level`` is 1 to 6 for a heading and 0 for everything else. ``location`` is where the block begins in the file, as
    any of ``page``, ``line``, ``row`` and ``paragraph``, each counted from 1. The ``text`` of a table has a line for
    each row but the ``header``, which is one line and is repeated in each chunk of the table.
    """

    text: str
    location: Mapping[str, int] = field(default_factory=dict)
    level: int = 0
    kind: BlockKind = BlockKind.PARAGRAPH
    header: str = ""

    def __post_init__(self) -> None:
        if self.level:
            object.__setattr__(self, "kind", BlockKind.HEADING)

    @property
    def is_verbatim(self) -> bool:
        """Return whether spaces, line ends and blank lines have a meaning in the text."""
        return self.kind in {BlockKind.CODE, BlockKind.TABLE}

    def as_json(self) -> dict[str, Any]:
        """Return the block as a dict; extraction writes one such object on each line."""
        shown: dict[str, Any] = {"text": self.text, "location": dict(self.location)}
        if self.level:
            shown["level"] = self.level
        elif self.kind is not BlockKind.PARAGRAPH:
            shown["kind"] = self.kind.value
        if self.header:
            shown["header"] = self.header
        return shown

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Block:
        """Return the block from a dict that `as_json` returned; raise KeyError, TypeError or ValueError for others."""
        return cls(
            text=str(value["text"]),
            location=dict(value["location"]),
            level=int(value.get("level", 0)),
            kind=BlockKind(value.get("kind", BlockKind.PARAGRAPH)),
            header=str(value.get("header", "")),
        )


def row_of(cells: Sequence[str]) -> str:
    """Return the cells of a row as one line. Line ends within a cell become spaces."""
    return CELL_SEPARATOR.join(" ".join(cell.split()) for cell in cells)


@dataclass(slots=True)
class Facts:
    """What a reader finds out about a file beside its text. Readers write to it while they yield blocks.

    ``encoding`` is the one that was given, or empty; readers of text write the one that they used. ``pages`` is None
    for a format without pages. The text of ``pages_recognized`` was recognised in their pictures. ``warnings`` are
    sentences for the user.
    """

    encoding: str = ""
    pages: int | None = None
    pages_without_text: int = 0
    pages_recognized: int = 0
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """Add a warning without unprintable characters, unless it is there or there are MAX_WARNINGS of them."""
        message = "".join(filter(str.isprintable, message))[:MAX_WARNING_CHARACTERS]
        if message not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(message)

    def as_json(self) -> dict[str, Any]:
        """Return the facts as a dict, which the parsing process writes on its last line."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Extraction:
    """The result of the extraction of one file."""

    blocks: list[Block]
    facts: Facts
