"""Blocks of text with their positions: the result of extraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading, table row or page.

    ``level`` is 1 to 6 for a heading and 0 for all else. ``location`` is where the block begins, with any of ``page``,
    ``line``, ``row`` and ``paragraph``, each counted from 1.
    """

    text: str
    location: Mapping[str, int] = field(default_factory=dict)
    level: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the block as extraction writes it, one per line."""
        return {"text": self.text, "location": dict(self.location), "level": self.level}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Block:
        """Return the block that :meth:`as_json` wrote; raise KeyError or TypeError for anything else."""
        return cls(text=str(value["text"]), location=dict(value["location"]), level=int(value["level"]))
