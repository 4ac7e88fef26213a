"""The elements of a benchmark: parts that run separately, and their findings, which are the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The pool that all parts use; each part chooses its slots and states them in its row.
POOL = "default"
NO_TARGET = "–"


class MeasureFailedError(RuntimeError):
    """Raised if a part could not be measured: a process ended, or there was no progress until a deadline."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table. ``beside`` states slots, job lengths and all else that the number depends on.

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
        """Return the text of the last cell."""
        if self.target == NO_TARGET:
            return "shown"
        return "met" if self.is_met else "**missed**"


def at_most(what: str, value: float, limit: float, form: str, beside: str = "", **more: str) -> Finding:
    """Return a row whose value must not exceed the limit.

    ``form`` is a format with a unit, such as ".1f ms"; ``note`` follows the value, ``simulated`` is the row's.
    """
    return _compare("≤", what, value, limit, form, beside, **more)


def at_least(what: str, value: float, limit: float, form: str, beside: str = "", **more: str) -> Finding:
    """Return a row whose value must reach the limit."""
    return _compare("≥", what, value, limit, form, beside, **more)


def shown(what: str, measured: str, beside: str = "", *, simulated: str = "–") -> Finding:
    """Return a row without a target."""
    return Finding(what, NO_TARGET, measured, is_met=True, beside=beside, simulated=simulated)


def _compare(
    sign: str, what: str, value: float, limit: float, form: str, beside: str, note: str = "", **more: str
) -> Finding:
    end = 1 + min(place for type_ in "f%" if (place := form.find(type_)) >= 0)
    number, unit = form[:end], form[end:]
    # The limit without insignificant digits.
    bound = f"{limit:.0%}" if number.endswith("%") else f"{limit:{',.0f' if limit >= 1_000 else 'g'}}{unit}"
    is_met = value <= limit if sign == "≤" else value >= limit
    return Finding(what, f"{sign} {bound}", f"{value:{number}}{unit}{note}", is_met, beside, **more)


@dataclass(frozen=True, slots=True)
class Part:
    """A part that runs alone with ``--only NAME``; ``minutes`` is its duration on two idle cores."""

    name: str
    minutes: float
    measure: Callable[[Path], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The parts of one table, and the text below it; results are stored in results/NAME.json and NAME.md."""

    name: str
    title: str
    parts: Sequence[Part]
    method: str
    # The command that measures it, if it is not `make bench BENCH=NAME`.
    reproduce: str = ""
