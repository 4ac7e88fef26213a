"""What a benchmark is made of: parts that run alone, and their findings, which are the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The pool that all parts use; its slots are the part's own choice and stand in its row.
POOL = "default"
NO_TARGET = "–"


class MeasureFailedError(RuntimeError):
    """A part could not be measured: a process died, or nothing moved until its deadline."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table. ``beside`` has slots, job lengths and whatever else the number depends on.

    A row whose target is NO_TARGET is shown for comparison. ``simulated`` is the fair scheduler's number in simulation.
    """

    what: str
    target: str
    measured: str
    is_met: bool
    beside: str = ""
    simulated: str = "–"

    @property
    def verdict(self) -> str:
        """The last cell."""
        if self.target == NO_TARGET:
            return "shown"
        return "met" if self.is_met else "**missed**"


def at_most(what: str, value: float, limit: float, form: str, beside: str = "", **more: str) -> Finding:
    """Return a row whose value may be the limit and no more.

    ``form`` is a format with a unit, such as ".1f ms"; ``note`` follows the value, ``simulated`` is the row's.
    """
    return _compare("≤", what, value, limit, form, beside, **more)


def at_least(what: str, value: float, limit: float, form: str, beside: str = "", **more: str) -> Finding:
    """Return a row whose value may be the limit and no less."""
    return _compare("≥", what, value, limit, form, beside, **more)


def shown(what: str, measured: str, beside: str = "", *, simulated: str = "–") -> Finding:
    """Return a row without a target."""
    return Finding(what, NO_TARGET, measured, is_met=True, beside=beside, simulated=simulated)


def _compare(
    sign: str, what: str, value: float, limit: float, form: str, beside: str, note: str = "", **more: str
) -> Finding:
    end = 1 + min(place for type_ in "f%" if (place := form.find(type_)) >= 0)
    number, unit = form[:end], form[end:]
    # The limit without digits that say nothing.
    bound = f"{limit:.0%}" if number.endswith("%") else f"{limit:{',.0f' if limit >= 1_000 else 'g'}}{unit}"
    is_met = value <= limit if sign == "≤" else value >= limit
    return Finding(what, f"{sign} {bound}", f"{value:{number}}{unit}{note}", is_met, beside, **more)


@dataclass(frozen=True, slots=True)
class Part:
    """A part that runs alone with ``--only NAME``; ``minutes`` is what it takes on two quiet cores."""

    name: str
    minutes: float
    measure: Callable[[Path], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Parts that make one table, and the text below it; results are kept in results/NAME.json and NAME.md."""

    name: str
    title: str
    parts: Sequence[Part]
    method: str
    # The command that measures it, if `make bench BENCH=NAME` does not.
    reproduce: str = ""
