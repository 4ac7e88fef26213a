"""Blocks of text with their positions, which extraction produces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading, table row or page of a document.

    ``level`` is 1 to 6 for a heading and 0 for everything else. ``location`` is where the block begins in the file, as
    any of ``page``, ``line``, ``row`` and ``paragraph``, each counted from 1.
    """

    text: str
    location: Mapping[str, int] = field(default_factory=dict)
    level: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the block as a dict; extraction writes one such object on each line."""
        return {"text": self.text, "location": dict(self.location), "level": self.level}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Block:
        """Return the block from a dict that `as_json` returned; raise KeyError or TypeError for anything else."""
        return cls(text=str(value["text"]), location=dict(value["location"]), level=int(value["level"]))
