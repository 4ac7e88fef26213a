"""What each part of the table is, and the words that stand beside its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The pool that all parts use; its slots are the part's own choice and stand in its row.
POOL = "default"


class MeasureFailedError(RuntimeError):
    """A part could not be measured: a process died, or nothing moved until its deadline."""


NO_TARGET = "–"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table. ``beside`` tells slots, job lengths and whatever else the number depends on.

    A row whose target is NO_TARGET stands beside the others to be compared with them.
    """

    what: str
    target: str
    measured: str
    is_met: bool
    beside: str
    simulated: str = "–"

    def cells(self) -> list[str]:
        return [self.what, self.target, self.measured, self.simulated, self.verdict]

    @property
    def verdict(self) -> str:
        """The last cell."""
        if self.target == NO_TARGET:
            return "shown"
        return "met" if self.is_met else "**missed**"


@dataclass(frozen=True, slots=True)
class Part:
    """A part that runs alone with ``--only NAME``; ``minutes`` is what it takes on two quiet cores."""

    name: str
    minutes: float
    measure: Callable[[Path], Sequence[Finding]]
