"""Settings of splitting: the sizes with their unit, and the strategy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class SizeUnit(models.TextChoices):
    """What sizes of chunks count."""

    TOKENS = "tokens", _("Tokens")
    CHARACTERS = "characters", _("Characters")


class Chunking(models.TextChoices):
    """Where passages begin and end; those over the limit are cut in any case."""

    STRUCTURE = "structure", _("By structure: as many whole paragraphs as fit")
    HEADING = "heading", _("By heading: each section")
    PAGE = "page", _("By page: each page or slide")
    QA = "qa", _("Questions: each with its answer")
    PARENT_CHILD = "parent_child", _("Parent and child: small chunks are found, large ones returned")


MIN_CHUNK_SIZE, DEFAULT_CHUNK_SIZE, DEFAULT_OVERLAP = 20, 200, 20
DEFAULT_PARENT_SIZE = 800
MAX_CHUNK_SIZES = {SizeUnit.TOKENS: 1_000, SizeUnit.CHARACTERS: 4_000}
MAX_CHUNK_SIZE = max(MAX_CHUNK_SIZES.values())
# Characters of the default size, for each token.
CHARACTERS_A_TOKEN = 4
# A parent has by default as many chunks, and at most as many of the largest ones.
CHUNKS_A_PARENT = 4
MAX_PARENT_SIZE = CHUNKS_A_PARENT * MAX_CHUNK_SIZE
LOWEST_HEADING = 6


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How a document is split into passages.

    ``chunk_size`` is the maximum length of a passage, ``overlap`` how much of it the next one repeats, both in the
    unit. ``heading_level`` is the lowest heading that begins a section, for HEADING only; ``parent_size`` is the
    maximum length of a parent, for PARENT_CHILD only, whose passages repeat nothing.
    """

    chunk_size: int = DEFAULT_CHUNK_SIZE
    overlap: int = DEFAULT_OVERLAP
    unit: SizeUnit = SizeUnit.TOKENS
    chunking: Chunking = Chunking.STRUCTURE
    parent_size: int = DEFAULT_PARENT_SIZE
    heading_level: int = LOWEST_HEADING

    @property
    def key(self) -> str:
        """Return a text that differs for settings which give different passages; the defaults are left out."""
        parts: list[object] = [self.chunk_size, self.overlap]
        if (self.unit, self.chunking) != (SizeUnit.TOKENS, Chunking.STRUCTURE):
            parts += [self.unit.value, self.chunking.value]
        if self.chunking is Chunking.PARENT_CHILD:
            parts.append(self.parent_size)
        return ":".join(map(str, parts))

    def find_faults(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each setting that is out of its range or contradicts another one, with the reason."""
        most = MAX_CHUNK_SIZES[self.unit]
        ranges = [("chunk_size", self.chunk_size, MIN_CHUNK_SIZE, most)]
        if self.chunking is Chunking.PARENT_CHILD:
            ranges.append(("parent_size", self.parent_size, self.chunk_size, CHUNKS_A_PARENT * most))
        for name, value, low, high in ranges:
            if not low <= value <= high:
                values = {"low": low, "high": high, "unit": self.unit.label}
                yield name, gettext("It must be from %(low)s to %(high)s (%(unit)s).") % values
        if 2 * self.overlap > self.chunk_size:
            yield "chunk_overlap", gettext("It must be at most half of chunk_size.")
