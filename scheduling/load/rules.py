"""Pure rules of load states: which state measured values stand for, and when a state changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Level(IntEnum):
    """How loaded the platform or a pool is; each state includes what the ones below it mean."""

    NORMAL = 0
    BUSY = 1
    OVERLOADED = 2
    BROWN_OUT = 3

    @property
    def slug(self) -> str:
        """Return the name that the API and commands use."""
        return self.name.lower()

    @property
    def label(self) -> str:
        """Return its name for pages."""
        return str(LABELS[self])


LABELS: Mapping[Level, str | Promise] = {
    Level.NORMAL: _("normal"),
    Level.BUSY: _("busy"),
    Level.OVERLOADED: _("overloaded"),
    Level.BROWN_OUT: _("brown-out"),
}


@dataclass(frozen=True, slots=True)
class Signal:
    """A measured value, and from which values on each state begins. Fewer than three thresholds cause no worse states.

    Descending thresholds mean that low values are bad.
    """

    title: str | Promise
    unit: str
    thresholds: tuple[float, ...]

    def level_of(self, value: float, *, margin: float = 1.0) -> Level:
        """Return the state that the value stands for; a margin below 1 makes it worse."""
        is_low_bad = self.thresholds[0] > self.thresholds[-1]
        reached = [
            value <= threshold / margin if is_low_bad else value >= threshold * margin for threshold in self.thresholds
        ]
        return Level(sum(reached))


SIGNALS: Mapping[str, Signal] = {
    "oldest_wait": Signal(_("Longest wait below the entitlement"), "s", (5, 30, 120)),
    "tick": Signal(_("Time of a tick"), "ms", (200, 500, 2_000)),
    "database": Signal(_("Response time of PostgreSQL"), "ms", (25, 100, 500)),
    "connections": Signal(_("Connections of PostgreSQL in use"), "%", (75, 88, 96)),
    # Without Redis nothing starts, but everything is accepted.
    "broker": Signal(_("Response time of Redis"), "ms", (50,)),
    "broker_memory": Signal(_("Memory of Redis in use"), "%", (75, 88, 96)),
    "disk": Signal(_("Free disk of the dispatcher"), "GiB", (4, 1, 0.25)),
    "memory": Signal(_("Free memory of the dispatcher"), "GiB", (0.5, 0.25, 0.1)),
}

# A state rises when worse values have held for this time, and falls by one after better values have held for that.
RISE_SECONDS = 3.0
FALL_SECONDS = 15.0
# A state falls only when each value is better than this part of the threshold at which the state begins.
CALM = 0.7


@dataclass(frozen=True, slots=True)
class Course:
    """A state, and for how long the values have been worse or better than it."""

    level: Level = Level.NORMAL
    rising_to: Level = Level.NORMAL
    rising_seconds: float = 0.0
    falling_seconds: float = 0.0


def level_of(signals: Mapping[str, float], *, margin: float = 1.0) -> Level:
    """Return the worst state that the values stand for."""
    return max((SIGNALS[name].level_of(value, margin=margin) for name, value in signals.items()), default=Level.NORMAL)


def step(course: Course, signals: Mapping[str, float], elapsed: float) -> Course:
    """Return the course after a measurement, ``elapsed`` seconds after the last one.

    A state rises to the least that all values of RISE_SECONDS stood for, and falls by one after FALL_SECONDS.
    """
    level = level_of(signals)
    if level > course.level:
        rising_to = min(level, course.rising_to) if course.rising_seconds else level
        seconds = course.rising_seconds + elapsed
        if seconds >= RISE_SECONDS:
            return Course(rising_to)
        return Course(course.level, rising_to, seconds)
    if course.level and level_of(signals, margin=CALM) < course.level:
        seconds = course.falling_seconds + elapsed
        if seconds >= FALL_SECONDS:
            return Course(Level(course.level - 1))
        return Course(course.level, falling_seconds=seconds)
    return replace(course, rising_to=Level.NORMAL, rising_seconds=0.0, falling_seconds=0.0)
